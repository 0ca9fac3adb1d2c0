//! A server on loopback that knows no SMTP: it expects given octets and sends given octets.

#![allow(dead_code, unreachable_pub, missing_docs, clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// What the server does next.
#[derive(Clone, Debug)]
pub enum Step {
    /// Exactly these octets must come in.
    Expect(Vec<u8>),
    /// So many octets must come in, whatever they are.
    ExpectOctets(usize),
    /// A line that begins so must come in.
    ExpectLine(Vec<u8>),
    /// Send these octets in one piece.
    Send(Vec<u8>),
    /// Wait until the client closes.
    AwaitClose,
    /// Close at once with a reset instead of an orderly end.
    Reset,
    /// Wait until the client closes, and take its next connection.
    Accept,
    /// Wait so many milliseconds.
    Pause(u64),
    /// Wait for [`Scripted::go_on`].
    Gate,
    /// Take whatever comes until the client closes.
    Drain,
}

/// A running server.
pub struct Scripted {
    pub port: u16,
    thread: JoinHandle<Result<(), String>>,
    gate: Sender<()>,
}

impl Scripted {
    /// Plays a script with the first client that connects, and with its next
    /// connections where the script says so.
    pub fn start(script: Vec<Step>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (gate, opened) = channel();
        let thread = std::thread::spawn(move || {
            let (stream, _) = listener.accept().map_err(|error| error.to_string())?;
            play(&listener, stream, &script, &opened)
        });
        Self { port, thread, gate }
    }

    /// Opens the next gate.
    pub fn go_on(&self) {
        let _ = self.gate.send(());
    }

    /// What did not go as scripted.
    pub fn finish(self) -> Result<(), String> {
        drop(self.gate);
        self.thread.join().unwrap()
    }
}

fn play(listener: &TcpListener, mut stream: TcpStream, script: &[Step], gate: &Receiver<()>) -> Result<(), String> {
    prepare(&stream);
    for (number, step) in script.iter().enumerate() {
        match step {
            Step::Expect(expected) => {
                let mut found = vec![0; expected.len()];
                let mut filled = 0;
                while filled < found.len() {
                    match stream.read(&mut found[filled..]) {
                        Ok(0) => break,
                        Ok(count) => filled += count,
                        Err(error) => return Err(format!("step {number}: {error} before {}", expected.escape_ascii())),
                    }
                }
                if found[..filled] != expected[..] {
                    let (found, expected) = (found[..filled].escape_ascii(), expected.escape_ascii());
                    return Err(format!("step {number}: expected \"{expected}\", got \"{found}\""));
                }
            }
            Step::ExpectOctets(count) => {
                let mut found = vec![0; *count];
                stream.read_exact(&mut found).map_err(|error| format!("step {number}: {error}"))?;
            }
            Step::ExpectLine(beginning) => {
                let mut found = Vec::new();
                let mut octet = [0];
                while !found.ends_with(b"\r\n") {
                    stream.read_exact(&mut octet).map_err(|error| format!("step {number}: {error}"))?;
                    found.push(octet[0]);
                }
                if !found.starts_with(beginning) {
                    let (found, expected) = (found.escape_ascii(), beginning.escape_ascii());
                    return Err(format!("step {number}: expected \"{expected}\", got \"{found}\""));
                }
            }
            // The client may have hung up already; what it made of it is what counts.
            Step::Send(octets) => drop(stream.write_all(octets)),
            Step::Pause(millis) => std::thread::sleep(Duration::from_millis(*millis)),
            Step::Gate => drop(gate.recv()),
            Step::Drain => drop(std::io::copy(&mut stream, &mut std::io::sink())),
            Step::Reset => {
                socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
                return Ok(());
            }
            Step::AwaitClose | Step::Accept => {
                let mut rest = Vec::new();
                let _ = stream.read_to_end(&mut rest);
                if !rest.is_empty() {
                    return Err(format!("step {number}: not expected: \"{}\"", rest.escape_ascii()));
                }
                if matches!(step, Step::Accept) {
                    stream = listener.accept().map_err(|error| error.to_string())?.0;
                    prepare(&stream);
                }
            }
        }
    }
    Ok(())
}

fn prepare(stream: &TcpStream) {
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
}
