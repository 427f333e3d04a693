//! The append-only file of a private server, and the same file as a crash at any byte would have left it.

use std::path::{Path, PathBuf};

/// What a server has written: `appendonlydir` with its base and manifest, or the one file before Redis 7.
pub(crate) struct Aof {
    /// Everything but the commands, by its path in the data directory.
    fixed: Vec<(PathBuf, Vec<u8>)>,
    /// Where the commands are.
    log: PathBuf,
    commands: Vec<u8>,
}

/// Files for the data directory of a server that is to start on them.
pub(crate) type Files = Vec<(PathBuf, Vec<u8>)>;

/// A command, with the offset of the byte after it.
pub(crate) struct Command<'a> {
    pub(crate) end: usize,
    pub(crate) words: Vec<&'a [u8]>,
}

impl Aof {
    /// Of the server with this data directory.
    pub(crate) fn read(data: &Path) -> Self {
        let log = log_of(data);
        let mut fixed = Vec::new();
        if let Ok(parts) = std::fs::read_dir(data.join("appendonlydir")) {
            for part in parts {
                let name = Path::new("appendonlydir").join(part.unwrap().file_name());
                if name != log {
                    fixed.push((name.clone(), std::fs::read(data.join(name)).unwrap()));
                }
            }
        }
        Self {
            fixed,
            commands: std::fs::read(data.join(&log)).unwrap(),
            log,
        }
    }

    /// Its bytes.
    pub(crate) fn len(&self) -> usize {
        self.commands.len()
    }

    /// What a crash leaves of it after so many bytes.
    pub(crate) fn cut(&self, at: usize) -> Files {
        let mut files = self.fixed.clone();
        files.push((self.log.clone(), self.commands[..at].to_vec()));
        files
    }

    /// The same with other words of the same length in place of some.
    pub(crate) fn cut_with(&self, at: usize, old: &[u8], new: &[u8]) -> Files {
        assert_eq!(old.len(), new.len(), "the file says how long each word is");
        let mut commands = self.commands[..at].to_vec();
        for place in 0..at {
            if commands[place..].starts_with(old) {
                commands[place..place + new.len()].copy_from_slice(new);
            }
        }
        let mut files = self.fixed.clone();
        files.push((self.log.clone(), commands));
        files
    }

    /// The commands that are whole in the first `until` bytes. Those of a script stand between MULTI and EXEC and
    /// count only with their EXEC, as for the server that reads them.
    pub(crate) fn commands(&self, until: usize) -> Vec<Command<'_>> {
        let (mut commands, mut open, mut at) = (Vec::new(), None, 0);
        while let Some((words, end)) = command(&self.commands[..until], at) {
            match words[0].to_ascii_uppercase().as_slice() {
                b"MULTI" => open = Some(commands.len()),
                b"EXEC" => open = None,
                _ => {}
            }
            commands.push(Command { end, words });
            at = end;
        }
        commands.truncate(open.unwrap_or(commands.len()));
        commands
    }

    /// Every offset at which a command ends, those within a script too, and the beginning.
    pub(crate) fn boundaries(&self) -> Vec<usize> {
        let mut boundaries = vec![0];
        while let Some((_, end)) = command(&self.commands, boundaries[boundaries.len() - 1]) {
            boundaries.push(end);
        }
        assert_eq!(boundaries.last(), Some(&self.len()), "the file is whole");
        boundaries
    }
}

/// Where the commands are, relative to the data directory.
pub(crate) fn log_of(data: &Path) -> PathBuf {
    let parts = std::fs::read_dir(data.join("appendonlydir"));
    let mut names = parts.into_iter().flatten().map(|part| part.unwrap().file_name());
    names
        .find(|name| name.to_string_lossy().ends_with(".incr.aof"))
        .map_or_else(|| "appendonly.aof".into(), |name| Path::new("appendonlydir").join(name))
}

/// The words of the command at an offset, and the offset after it; `None` when it is not whole.
fn command(bytes: &[u8], at: usize) -> Option<(Vec<&[u8]>, usize)> {
    let (count, mut at) = number(bytes, at, b'*')?;
    let mut words = Vec::new();
    for _ in 0..count {
        let (length, start) = number(bytes, at, b'$')?;
        words.push(bytes.get(start..start + length)?);
        at = start + length + 2;
        bytes.get(..at)?;
    }
    Some((words, at))
}

/// `<kind><digits>\r\n` at an offset, and the offset after it.
fn number(bytes: &[u8], at: usize, kind: u8) -> Option<(usize, usize)> {
    let rest = bytes.get(at..)?;
    let end = rest.windows(2).position(|two| two == b"\r\n")?;
    assert_eq!(rest[0], kind, "at {at}");
    let digits = std::str::from_utf8(&rest[1..end]).unwrap();
    Some((digits.parse().unwrap(), at + end + 2))
}
