//! The `holdfast` program; everything is in the library.

fn main() -> anyhow::Result<()> {
    let rt = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    if std::env::args().nth(1).as_deref() == Some("demo") {
        return rt.block_on(holdfast::cli::demo::run(holdfast::cli::demo::Args {}));
    }
    let loaded = holdfast::config::load(None, holdfast::config::environment())?;
    rt.block_on(holdfast::app::serve(loaded))
}
