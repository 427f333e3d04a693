//! `holdfast intake-token`: a token for a source, and the line of `intake.tokens_file` that lets it in.

use std::io::Write;

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::Rng;

/// Bytes of a token.
const BYTES: usize = 32;

/// Arguments of `intake-token`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The source, as in /events/SOURCE; rack7-* for all that begin so, * for any.
    #[arg(value_parser = source)]
    source: String,
}

fn source(text: &str) -> Result<String, String> {
    let name = text.strip_suffix('*').unwrap_or(text);
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._:@-".contains(&byte);
    if text.is_empty() || text.len() > 128 || !name.bytes().all(is_plain) {
        return Err("write 1 to 128 letters, digits and any of . _ : @ -, and perhaps * at the end".to_owned());
    }
    Ok(text.to_owned())
}

/// Prints the token, which is kept nowhere, and the line.
///
/// # Errors
/// When `out` can't be written.
pub(super) fn run(args: &Args, out: &mut impl Write) -> anyhow::Result<()> {
    let mut bytes = [0; BYTES];
    rand::rng().fill(&mut bytes);
    let token = URL_SAFE_NO_PAD.encode(bytes);
    let hash = digest::digest(&digest::SHA256, token.as_bytes());
    let hash: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    writeln!(out, "{token}")?;
    writeln!(out, "{} {hash}", args.source)?;
    writeln!(
        std::io::stderr(),
        "the first line is the token, for the header of the sender; it is not shown again. Add the second to \
         intake.tokens_file on every worker"
    )?;
    Ok(())
}
