//! The `holdfast` binary; everything it does is in the library.

/// Events are many small allocations that are made in one thread and freed in another: a third of a worker's time
/// went to the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    holdfast::cli::main()
}
