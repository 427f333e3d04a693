//! What a fault needs of the machine, made for one run and removed after it: a network namespace, a small disk, a
//! mount namespace with its own table of names. All need root.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};

use tempfile::TempDir;

/// Each namespace's networks are 10.213.n.0/30 and 10.213.n.4/30.
static NEXT: AtomicU16 = AtomicU16::new(0);

/// Runs a command of the system; the error is what it said.
fn run(words: &[&str]) -> Result<(), String> {
    let output = Command::new(words[0])
        .args(&words[1..])
        .output()
        .map_err(|error| format!("{}: {error}", words[0]))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("`{}` failed: {}", words.join(" "), said.trim()))
}

/// A network namespace with two links to this one: the first leads to Redis, the second to the subscribers.
pub(crate) struct Namespace {
    name: String,
    links: [String; 2],
    net: u16,
}

impl Namespace {
    /// Makes it.
    pub(crate) fn make() -> Result<Self, String> {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let id = std::process::id();
        let made = Self {
            name: format!("holdfast-{id}-{number}"),
            links: [format!("hf{id}a{number}"), format!("hf{id}b{number}")],
            net: (u16::try_from(id % 200).unwrap_or(0) + number) % 250,
        };
        run(&["ip", "netns", "add", &made.name])?;
        for (place, link) in made.links.iter().enumerate() {
            let peer = format!("{link}p");
            let (here, there) = (format!("{}/30", made.here(place)), format!("{}/30", made.there(place)));
            run(&[
                "ip", "link", "add", link, "type", "veth", "peer", "name", &peer, "netns", &made.name,
            ])?;
            run(&["ip", "addr", "add", &here, "dev", link])?;
            run(&["ip", "link", "set", link, "up"])?;
            run(&["ip", "-n", &made.name, "addr", "add", &there, "dev", &peer])?;
            run(&["ip", "-n", &made.name, "link", "set", &peer, "up"])?;
        }
        run(&["ip", "-n", &made.name, "link", "set", "lo", "up"])?;
        Ok(made)
    }

    /// A program that becomes one inside the namespace.
    pub(crate) fn launcher(&self) -> Vec<String> {
        ["ip", "netns", "exec", &self.name].map(str::to_owned).to_vec()
    }

    /// This side's address on the link to Redis (0) or to the subscribers (1).
    pub(crate) fn here(&self, link: usize) -> String {
        format!("10.213.{}.{}", self.net, 4 * link + 1)
    }

    fn there(&self, link: usize) -> String {
        format!("10.213.{}.{}", self.net, 4 * link + 2)
    }

    /// From now on every packet on a link is dropped, in both directions.
    pub(crate) fn drop_packets(&self, link: usize) {
        run(&["ip", "link", "set", &self.links[link], "down"]).unwrap();
    }

    /// Packets pass again.
    pub(crate) fn pass_packets(&self, link: usize) {
        run(&["ip", "link", "set", &self.links[link], "up"]).unwrap();
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // The links vanish with it.
        if let Err(problem) = run(&["ip", "netns", "del", &self.name]) {
            eprintln!("faults: {problem}");
        }
        for link in &self.links {
            let _gone_already = run(&["ip", "link", "del", link]);
        }
    }
}

/// A disk of 24 MiB.
pub(crate) struct SmallDisk(TempDir);

impl SmallDisk {
    pub(crate) fn mount() -> Result<Self, String> {
        let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
        let path = dir.path().display().to_string();
        run(&["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", &path])?;
        Ok(Self(dir))
    }

    /// A directory on it.
    pub(crate) fn directory(&self) -> TempDir {
        tempfile::tempdir_in(self.0.path()).unwrap()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        if let Err(problem) = run(&["umount", &self.0.path().display().to_string()]) {
            eprintln!("faults: {problem}");
        }
    }
}

/// A table of names in place of the machine's, for programs started by its launcher.
pub(crate) struct Names(TempDir);

impl Names {
    /// A table that knows `localhost` only.
    pub(crate) fn make() -> Result<Self, String> {
        let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
        let names = Self(dir);
        std::fs::write(names.file("resolv.conf"), "").map_err(|error| error.to_string())?;
        names.know(&[]);
        run(&["unshare", "--mount", "true"])?;
        Ok(names)
    }

    /// A program that becomes one for which this table is in force.
    pub(crate) fn launcher(&self) -> Vec<String> {
        let (hosts, resolver) = (self.file("hosts"), self.file("resolv.conf"));
        let script = format!(
            "mount --bind '{}' /etc/hosts && mount --bind '{}' /etc/resolv.conf && exec \"$@\"",
            hosts.display(),
            resolver.display()
        );
        ["unshare", "--mount", "sh", "-c", &script, "sh"]
            .map(str::to_owned)
            .to_vec()
    }

    /// These names, besides `localhost`, are this machine's; all others are unknown.
    pub(crate) fn know(&self, names: &[&str]) {
        let text = format!("127.0.0.1 localhost {}\n", names.join(" "));
        std::fs::write(self.file("hosts"), text).unwrap();
    }

    fn file(&self, name: &str) -> PathBuf {
        let dir: &Path = self.0.path();
        dir.join(name)
    }
}
