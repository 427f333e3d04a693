//! `holdfast health`: how the process on this machine is, for runtimes of containers that can only run a command.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, bail};

use crate::config::Config;

/// How long the answer may take.
const PATIENCE: Duration = Duration::from_secs(4);

/// Arguments of `health`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Whether it should be sent work, rather than whether it lives.
    #[arg(long)]
    ready: bool,
}

/// Asks the admin listener of this machine's process.
///
/// # Errors
/// When it does not answer, or answers that it is not well.
pub(super) async fn run(args: Args, config: &Config, out: &mut impl Write) -> anyhow::Result<()> {
    let path = if args.ready { "readyz" } else { "livez" };
    let url = format!("http://{}/{path}", near(config.admin.listen));
    let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build()?;
    let asked = async {
        let answer = client.get(&url).send().await?;
        Ok::<_, reqwest::Error>((answer.status(), answer.text().await?))
    };
    let (status, body) = asked.await.map_err(reqwest::Error::without_url).with_context(|| {
        format!("{url} does not answer; is `holdfast serve` running here, with the same HOLDFAST_ADMIN__LISTEN?")
    })?;
    if !status.is_success() {
        bail!("{url} answers {status}: {}", body.trim());
    }
    writeln!(out, "{}", body.trim())?;
    Ok(())
}

/// Where a listener is reached from its own machine.
pub(super) fn near(listen: SocketAddr) -> SocketAddr {
    let loopback = match listen.ip() {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
    };
    match listen.ip().is_unspecified() {
        true => SocketAddr::new(loopback, listen.port()),
        false => listen,
    }
}
