//! The `holdfast` program; everything is in the library.

fn main() -> anyhow::Result<()> {
    let loaded = holdfast::config::load(None, holdfast::config::environment())?;
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(holdfast::app::serve(loaded))
}
