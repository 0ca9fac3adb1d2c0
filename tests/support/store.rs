//! A mail server on loopback for any number of connections, that keeps what it took and
//! fails where it is told to.

#![allow(dead_code, unreachable_pub, missing_docs, clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Where a connection fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    Greeting,
    Ehlo,
    Mail,
    Rcpt,
    Data,
    /// In the middle of the content.
    Content,
    /// At the end of the content, without keeping the message.
    End,
    /// The same, with the message kept.
    Kept,
    /// Behind the reply to the end of the content: while the connection is idle.
    Idle,
    Quit,
}

pub const PLACES: [Place; 10] = [
    Place::Greeting,
    Place::Ehlo,
    Place::Mail,
    Place::Rcpt,
    Place::Data,
    Place::Content,
    Place::End,
    Place::Kept,
    Place::Idle,
    Place::Quit,
];

/// How.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    Reset,
    Close,
    /// Says 421 and hangs up.
    Closing,
    /// Says nothing more until the client hangs up.
    Stall,
    /// Refuses with this code and goes on.
    Refuse(u16),
}

/// With the message of this number on the connection, from 0.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    pub message: usize,
    pub place: Place,
    pub how: How,
}

#[derive(Default)]
pub struct Kept {
    /// How often each body came.
    pub bodies: BTreeMap<String, usize>,
    pub connections: usize,
    pub open: usize,
    pub most_open: usize,
    pub logins: usize,
}

pub struct Store {
    pub port: u16,
    pub kept: Arc<Mutex<Kept>>,
    stopping: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

type Plan = dyn Fn(usize) -> Option<Fault> + Send + Sync;

impl Store {
    /// `plan` tells what befalls the connection of a number, from 0.
    pub fn start(plan: impl Fn(usize) -> Option<Fault> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let kept = Arc::new(Mutex::new(Kept::default()));
        let stopping = Arc::new(AtomicBool::new(false));
        let (shared, stop, plan): (_, _, Arc<Plan>) = (Arc::clone(&kept), Arc::clone(&stopping), Arc::new(plan));
        let count = AtomicUsize::new(0);
        let thread = std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let number = count.fetch_add(1, Ordering::SeqCst);
                let (kept, fault) = (Arc::clone(&shared), plan(number));
                std::thread::Builder::new()
                    .stack_size(256 * 1024)
                    .spawn(move || {
                        {
                            let mut kept = kept.lock().unwrap();
                            kept.connections += 1;
                            kept.open += 1;
                            kept.most_open = kept.most_open.max(kept.open);
                        }
                        let _ = converse(&stream, &kept, fault);
                        kept.lock().unwrap().open -= 1;
                    })
                    .unwrap();
            }
        });
        Self { port, kept, stopping, thread: Some(thread) }
    }

    pub fn bodies(&self) -> BTreeMap<String, usize> {
        self.kept.lock().unwrap().bodies.clone()
    }

    pub fn connections(&self) -> usize {
        self.kept.lock().unwrap().connections
    }

    /// Waits until no connection is open any more.
    pub fn wait_until_unused(&self) {
        while self.kept.lock().unwrap().open != 0 {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        let _ = self.thread.take().unwrap().join();
    }
}

/// Ends the conversation.
struct Over;

impl From<std::io::Error> for Over {
    fn from(_: std::io::Error) -> Self {
        Self
    }
}

struct Talk<'a> {
    stream: &'a TcpStream,
    reader: BufReader<&'a TcpStream>,
    fault: Option<Fault>,
    message: usize,
}

impl Talk<'_> {
    fn line(&mut self) -> Result<String, Over> {
        let mut line = Vec::new();
        self.reader.read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Err(Over);
        }
        Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
    }

    fn say(&mut self, text: &str) -> Result<(), Over> {
        self.stream.write_all(format!("{text}\r\n").as_bytes())?;
        Ok(())
    }

    /// What befalls the connection here; a refusal is said.
    fn fails(&mut self, place: Place) -> Result<bool, Over> {
        let Some(fault) = self.fault.filter(|fault| fault.place == place && fault.message == self.message) else {
            return Ok(false);
        };
        match fault.how {
            How::Refuse(code) => {
                self.say(&format!("{code} {}.7.1 not this one", code / 100))?;
                return Ok(true);
            }
            How::Reset => socket2::SockRef::from(self.stream).set_linger(Some(Duration::ZERO))?,
            How::Close => {}
            How::Closing => {
                self.say("421 4.3.2 going down")?;
                // What the client has sent meanwhile must not make it a reset.
                self.stream.shutdown(std::net::Shutdown::Write)?;
                self.stream.set_read_timeout(Some(Duration::from_secs(20)))?;
                while self.line().is_ok() {}
            }
            How::Stall => while self.line().is_ok() {},
        }
        Err(Over)
    }
}

fn converse(stream: &TcpStream, kept: &Mutex<Kept>, fault: Option<Fault>) -> Result<(), Over> {
    stream.set_nodelay(true)?;
    let mut talk = Talk { stream, reader: BufReader::new(stream), fault, message: 0 };
    talk.fails(Place::Greeting)?;
    talk.say("220 store.example")?;
    loop {
        let line = talk.line()?;
        let verb = line.split(' ').next().unwrap_or_default().to_ascii_uppercase();
        match verb.as_str() {
            "EHLO" if !talk.fails(Place::Ehlo)? => {
                talk.say("250-store.example\r\n250-PIPELINING\r\n250-ENHANCEDSTATUSCODES\r\n250 AUTH PLAIN")?;
            }
            "AUTH" => {
                let good = line.ends_with("AHVzZXIAZ29vZA==");
                kept.lock().unwrap().logins += 1;
                talk.say(if good { "235 2.7.0 ok" } else { "535 5.7.8 no" })?;
            }
            "MAIL" if !talk.fails(Place::Mail)? => talk.say("250 2.1.0 ok")?,
            "RCPT" if line.contains("nobody") => talk.say("550 5.1.1 nobody here")?,
            "RCPT" if !talk.fails(Place::Rcpt)? => talk.say("250 2.1.5 ok")?,
            "DATA" if !talk.fails(Place::Data)? => {
                talk.say("354 go on")?;
                let mut body = String::new();
                let mut lines = 0;
                loop {
                    let line = talk.line()?;
                    if line == "." {
                        break;
                    }
                    lines += 1;
                    if lines == 2 {
                        talk.fails(Place::Content)?;
                    }
                    if let Some(name) = line.strip_prefix("Subject: ") {
                        name.clone_into(&mut body);
                    }
                }
                if !talk.fails(Place::End)? {
                    *kept.lock().unwrap().bodies.entry(body).or_default() += 1;
                    talk.fails(Place::Kept)?;
                    talk.say("250 2.0.0 Ok: queued as 4F1B2")?;
                    talk.fails(Place::Idle)?;
                }
                talk.message += 1;
            }
            "RSET" | "NOOP" => talk.say("250 ok")?,
            "QUIT" => {
                talk.fails(Place::Quit)?;
                talk.say("221 bye")?;
                return Ok(());
            }
            "EHLO" | "MAIL" | "RCPT" | "DATA" => {}
            _ => talk.say("500 5.5.1 what")?,
        }
    }
}
