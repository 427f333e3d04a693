//! Counts the commands that a worker sends to Redis, in a proxy between the two.
//!
//! `INFO` can't tell them: it counts what scripts do as well.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};

/// How often each command was sent.
pub(crate) type Commands = BTreeMap<String, u64>;

/// A proxy to one server.
pub(crate) struct Counter {
    port: u16,
    commands: Arc<Mutex<Commands>>,
    _running: DropGuard,
}

impl Counter {
    /// A proxy to `127.0.0.1:port`.
    pub(crate) async fn to(server: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let commands = Arc::new(Mutex::default());
        let running = CancellationToken::new();
        tokio::spawn(
            running
                .clone()
                .run_until_cancelled_owned(accept(listener, server, Arc::clone(&commands))),
        );
        Self {
            port,
            commands,
            _running: running.drop_guard(),
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// What was sent since the last call.
    pub(crate) fn take(&self) -> Commands {
        std::mem::take(&mut self.commands.lock().unwrap())
    }
}

/// How many commands these are.
pub(crate) fn total(commands: &Commands) -> u64 {
    commands.values().sum()
}

async fn accept(listener: TcpListener, server: u16, commands: Arc<Mutex<Commands>>) {
    loop {
        let (client, _) = listener.accept().await.unwrap();
        tokio::spawn(pass(client, server, Arc::clone(&commands)));
    }
}

async fn pass(client: TcpStream, server: u16, commands: Arc<Mutex<Commands>>) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await else {
        return;
    };
    client.set_nodelay(true).unwrap();
    server.set_nodelay(true).unwrap();
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let requests = async {
        let mut parser = Parser::default();
        let mut buffer = vec![0; 64 << 10];
        while let Ok(length @ 1..) = from_client.read(&mut buffer).await {
            parser.feed(&buffer[..length], &mut commands.lock().unwrap());
            if to_server.write_all(&buffer[..length]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = requests => {}
        _ended = tokio::io::copy(&mut from_server, &mut to_client) => {}
    }
}

/// Reads requests, each an array of strings: `*2\r\n$3\r\nGET\r\n$1\r\na\r\n`.
#[derive(Debug, Default)]
struct Parser {
    /// What has come of the present line, or of the command's name.
    text: Vec<u8>,
    /// Bytes of the present string that are still to come, line end included.
    string: usize,
    /// Strings of the present request that are still to come.
    strings: usize,
    /// The present string is the first: the command's name.
    is_name: bool,
}

impl Parser {
    fn feed(&mut self, mut bytes: &[u8], commands: &mut Commands) {
        while !bytes.is_empty() {
            if self.string > 0 {
                let (part, rest) = bytes.split_at(self.string.min(bytes.len()));
                self.string -= part.len();
                bytes = rest;
                self.string_part(part, commands);
            } else if let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
                self.text.extend_from_slice(&bytes[..end]);
                bytes = &bytes[end + 1..];
                self.line();
            } else {
                self.text.extend_from_slice(bytes);
                return;
            }
        }
    }

    fn string_part(&mut self, part: &[u8], commands: &mut Commands) {
        if self.is_name {
            self.text.extend_from_slice(part);
        }
        if self.string > 0 {
            return;
        }
        if self.is_name {
            let name = String::from_utf8(std::mem::take(&mut self.text)).unwrap();
            *commands.entry(name.trim_end().to_ascii_uppercase()).or_default() += 1;
        }
        self.is_name = false;
        self.strings -= 1;
    }

    fn line(&mut self) {
        let line = String::from_utf8(std::mem::take(&mut self.text)).unwrap();
        let number = || line[1..].trim_end().parse::<usize>().unwrap();
        match line.as_bytes()[0] {
            b'*' => {
                assert_eq!(self.strings, 0, "a request within a request");
                self.strings = number();
                self.is_name = true;
            }
            b'$' => self.string = number() + 2,
            other => panic!("{:?} begins no request", char::from(other)),
        }
    }
}

/// Fails unless the counter counts what is sent, however the bytes are cut.
pub(crate) fn check() {
    let request =
        b"*1\r\n$4\r\nPING\r\n*3\r\n$3\r\nset\r\n$1\r\na\r\n$9\r\n*1\r\n$4\r\nX\r\n*2\r\n$3\r\nGET\r\n$0\r\n\r\n";
    let expected = [("GET", 3), ("PING", 3), ("SET", 3)];
    for step in 1..request.len() {
        let (mut parser, mut commands) = (Parser::default(), Commands::new());
        for part in request.repeat(3).chunks(step) {
            parser.feed(part, &mut commands);
        }
        let counted: Vec<(&str, u64)> = commands.iter().map(|(name, count)| (name.as_str(), *count)).collect();
        assert_eq!(counted, expected, "in steps of {step}");
    }
}
