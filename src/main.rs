//! The `holdfast` binary; everything it does is in the library.

fn main() -> std::process::ExitCode {
    holdfast::cli::main()
}
