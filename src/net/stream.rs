//! A connection as the driver sees it: octets in and out, with TLS or without.

use super::input::Input;
use super::socket::Socket;
use super::sys::Watch;
use super::tls::{Tls, TlsInfo};
use super::trust::{Policy, Trust};
use super::wire_error;
use crate::error::{Phase, Result};
use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

/// How much is received at a time; a reply is far smaller, and a flood of them
/// is taken in pieces.
const INPUT_CHUNK: usize = 4096;

/// A stream over a connected socket.
#[derive(Debug)]
pub struct Stream {
    socket: Socket,
    tls: Option<Box<Tls>>,
    input: Input,
    ended: bool,
    /// As far as is known, the system sends files by itself.
    sends_files: bool,
}

/// How an attempt to receive ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// There may be new input.
    Something,
    /// Nothing is there now.
    NotYet,
}

impl Stream {
    /// A stream in the clear.
    #[must_use]
    pub fn new(socket: Socket) -> Self {
        Self { socket, tls: None, input: Input::default(), ended: false, sends_files: true }
    }

    /// To be called once when the connection is made.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn establish(&self) -> io::Result<()> {
        self.socket.establish()
    }

    /// Whether TLS was begun.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Begins TLS on the stream.
    ///
    /// # Errors
    ///
    /// If TLS cannot be set up.
    pub fn start_tls(&mut self, trust: Arc<Trust>, server_name: &str, policy: Policy) -> Result<()> {
        self.tls = Some(Box::new(Tls::new(trust, server_name, policy)?));
        Ok(())
    }

    /// Sends what the handshake has to send; the result once it is over.
    ///
    /// # Errors
    ///
    /// Why it failed.
    pub fn handshake(&mut self) -> Result<Option<TlsInfo>> {
        let Some(tls) = &mut self.tls else { return Ok(None) };
        let flushed = tls.flush(&self.socket)?;
        (flushed && !tls.is_handshaking()).then(|| tls.info()).transpose()
    }

    /// Takes octets to send, and sends what goes at once; 0 if nothing goes.
    ///
    /// # Errors
    ///
    /// When the connection is broken.
    pub fn write(&mut self, octets: &[u8]) -> Result<usize> {
        match &mut self.tls {
            Some(tls) => tls.write(octets, &self.socket),
            None => match self.socket.send(octets) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(0),
                other => other.map_err(|error| wire_error(&error, Phase::Idle)),
            },
        }
    }

    /// Whether [`Self::write_file`] is to be tried: what TLS protects has to be read.
    #[must_use]
    pub fn takes_files(&self) -> bool {
        self.tls.is_none() && self.sends_files
    }

    /// Sends up to so many octets of a file from its position on, without reading them
    /// here; 0 if nothing goes. `None` if that cannot be done, or the file is at its end.
    ///
    /// # Errors
    ///
    /// When the connection is broken.
    pub fn write_file(&mut self, file: &File, most: usize) -> Result<Option<usize>> {
        match self.socket.send_file(file, most) {
            Ok(Some(count)) => Ok(Some(count)),
            Ok(None) => {
                self.sends_files = false;
                Ok(None)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Some(0)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(Some(0)),
            Err(error) => Err(wire_error(&error, Phase::Idle)),
        }
    }

    /// Sends what was taken and not sent yet; true if nothing is left.
    ///
    /// # Errors
    ///
    /// When the connection is broken.
    pub fn flush(&mut self) -> Result<bool> {
        match &mut self.tls {
            Some(tls) => tls.flush(&self.socket),
            None => Ok(true),
        }
    }

    /// Receives what is there.
    ///
    /// # Errors
    ///
    /// When the connection is broken.
    pub fn receive(&mut self) -> Result<Received> {
        self.receive_with(|socket, buffer| socket.receive(buffer))
    }

    /// Receives, and waits up to so many milliseconds, or less, for something
    /// to receive; for ever with `None`.
    ///
    /// # Errors
    ///
    /// When the connection is broken.
    pub fn receive_patiently(&mut self, millis: Option<u32>) -> Result<Received> {
        self.receive_with(|socket, buffer| socket.receive_patiently(buffer, millis))
    }

    /// What was received.
    #[must_use]
    pub fn input(&self) -> &[u8] {
        self.input.octets()
    }

    /// Takes note that all of [`Self::input`] was used.
    pub fn take_input(&mut self) {
        self.input.clear();
    }

    /// Whether the other side has ended the stream and all input was taken.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ended && self.input().is_empty()
    }

    /// What to wait for; writing only if something waits to be written.
    #[must_use]
    pub fn watch(&self, write: bool) -> Watch {
        let unsent = self.tls.as_ref().is_some_and(|tls| tls.has_unsent());
        Watch { socket: self.socket.raw(), read: true, write: write || unsent }
    }

    /// The socket, to be shut down by whoever cancels.
    #[must_use]
    pub fn shared_socket(&self) -> Arc<socket2::Socket> {
        self.socket.shared()
    }

    /// The address of this end.
    #[must_use]
    pub fn local_address(&self) -> Option<SocketAddr> {
        self.socket.local_address()
    }

    fn receive_with(&mut self, mut receive: impl FnMut(&Socket, &mut [u8]) -> io::Result<usize>) -> Result<Received> {
        let Self { socket, tls, input, ended, .. } = self;
        match tls {
            Some(tls) => {
                let some = tls.receive(input, socket, |buffer| receive(socket, buffer))?;
                *ended = tls.has_ended();
                Ok(if some { Received::Something } else { Received::NotYet })
            }
            None => {
                match receive(socket, input.room(INPUT_CHUNK)) {
                    Ok(0) => *ended = true,
                    Ok(count) => input.add(count),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Received::NotYet),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(Received::NotYet),
                    Err(error) => return Err(wire_error(&error, Phase::Idle)),
                }
                Ok(Received::Something)
            }
        }
    }
}
