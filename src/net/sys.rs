//! The system calls that neither the standard library nor socket2 offers, each
//! behind a safe function. Everything `unsafe` of this layer is here and in `gssapi.rs`.

use std::io;
use std::mem::MaybeUninit;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// A socket as the operating system numbers it.
pub type RawSocket = std::os::fd::RawFd;

/// A socket to wait for, and in which directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watch {
    /// The socket.
    pub socket: RawSocket,
    /// Wait until it can be read from, or has ended or failed.
    pub read: bool,
    /// Wait until it can be written to, or has failed.
    pub write: bool,
}

/// Waits until one of the sockets is ready, or the time is over; `None` waits for ever.
///
/// # Errors
///
/// What `poll` says, an interruption by a signal apart, which counts as ready.
pub fn wait(watches: &[Watch], millis: Option<u32>) -> io::Result<()> {
    let mut fds: Vec<libc::pollfd> = watches
        .iter()
        .map(|watch| libc::pollfd {
            fd: watch.socket,
            events: if watch.read { libc::POLLIN } else { 0 } | if watch.write { libc::POLLOUT } else { 0 },
            revents: 0,
        })
        .collect();
    let timeout = millis.map_or(-1, |millis| i32::try_from(millis).unwrap_or(i32::MAX));
    let count = libc::nfds_t::try_from(fds.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: the pointer and the count are those of a live vector.
    let ready = unsafe { libc::poll(fds.as_mut_ptr(), count, timeout) };
    if ready < 0 {
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    Ok(())
}

/// Whether something is ready now.
///
/// # Errors
///
/// What `poll` says.
pub fn is_ready(watch: Watch) -> io::Result<bool> {
    let events = if watch.read { libc::POLLIN } else { 0 } | if watch.write { libc::POLLOUT } else { 0 };
    let mut fd = libc::pollfd { fd: watch.socket, events, revents: 0 };
    // SAFETY: the pointer is that of one live structure.
    match unsafe { libc::poll(&raw mut fd, 1, 0) } {
        ready if ready < 0 => Err(io::Error::last_os_error()),
        ready => Ok(ready > 0),
    }
}

/// Descriptors behind one that is ready for reading when any of them is ready.
#[derive(Debug)]
pub struct Set {
    #[cfg(target_os = "linux")]
    epoll: std::os::fd::OwnedFd,
}

#[cfg(target_os = "linux")]
impl Set {
    /// A set of these.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn new(watches: &[Watch]) -> io::Result<Self> {
        use std::os::fd::FromRawFd as _;
        // SAFETY: no pointers; the result is looked at.
        let raw = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if raw < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: just made, and nobody else's.
        let epoll = unsafe { std::os::fd::OwnedFd::from_raw_fd(raw) };
        for watch in watches {
            let events = if watch.read { libc::EPOLLIN } else { 0 } | if watch.write { libc::EPOLLOUT } else { 0 };
            let mut event = libc::epoll_event { events: events.cast_unsigned(), u64: 0 };
            // SAFETY: a live descriptor and a live structure.
            if unsafe { libc::epoll_ctl(raw, libc::EPOLL_CTL_ADD, watch.socket, &raw mut event) } < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(Self { epoll })
    }

    /// Its descriptor.
    #[must_use]
    pub fn raw(&self) -> RawSocket {
        use std::os::fd::AsRawFd as _;
        self.epoll.as_raw_fd()
    }
}

#[cfg(not(target_os = "linux"))]
impl Set {
    /// There are none on this system.
    ///
    /// # Errors
    ///
    /// Always.
    pub fn new(_: &[Watch]) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Never called, as there is no set.
    #[must_use]
    pub fn raw(&self) -> RawSocket {
        -1
    }
}

/// Receives without waiting, whatever the mode of the socket.
///
/// # Errors
///
/// What `recv` says; `WouldBlock` if nothing is there.
pub fn receive_now(socket: &socket2::Socket, buffer: &mut [u8]) -> io::Result<usize> {
    let length = buffer.len();
    // SAFETY: initialised octets may be seen as perhaps uninitialised ones, and
    // `recv` only ever writes initialised ones to them.
    let uninit = unsafe { std::slice::from_raw_parts_mut(buffer.as_mut_ptr().cast::<MaybeUninit<u8>>(), length) };
    socket.recv_with_flags(uninit, libc::MSG_DONTWAIT)
}

/// Looks at what is there to receive, without taking it and without waiting.
///
/// # Errors
///
/// What `recv` says; `WouldBlock` if nothing is there.
pub fn peek_now(socket: &socket2::Socket, buffer: &mut [u8]) -> io::Result<usize> {
    let length = buffer.len();
    // SAFETY: as in `receive_now`.
    let uninit = unsafe { std::slice::from_raw_parts_mut(buffer.as_mut_ptr().cast::<MaybeUninit<u8>>(), length) };
    socket.recv_with_flags(uninit, libc::MSG_DONTWAIT | libc::MSG_PEEK)
}

/// A second number of a socket that the caller has, so that both can be closed
/// on their own.
///
/// # Errors
///
/// What the system says, for instance that there is no such socket.
pub fn duplicate(socket: RawSocket) -> io::Result<socket2::Socket> {
    if socket < 0 {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    // SAFETY: borrowed for this call only, whatever it is: a number that stands for
    // nothing makes the call fail.
    let borrowed = unsafe { std::os::fd::BorrowedFd::borrow_raw(socket) };
    Ok(borrowed.try_clone_to_owned()?.into())
}

/// Closes a socket that the caller gave away.
pub fn close(socket: RawSocket) {
    use std::os::fd::FromRawFd as _;
    // SAFETY: whoever calls this says that it is theirs no more.
    drop(unsafe { std::os::fd::OwnedFd::from_raw_fd(socket) });
}

/// The flags for a send that neither waits nor raises SIGPIPE.
#[must_use]
pub fn send_flags() -> i32 {
    #[cfg(any(target_os = "macos", target_os = "ios"))]
    // socket2 sets SO_NOSIGPIPE on these.
    let quiet = 0;
    #[cfg(not(any(target_os = "macos", target_os = "ios")))]
    let quiet = libc::MSG_NOSIGNAL;
    quiet | libc::MSG_DONTWAIT
}

/// Has the system send a part of a file from its position on, which moves along. Never
/// raises SIGPIPE; waits unless the socket is one that does not.
///
/// # Errors
///
/// What `sendfile` says; `Unsupported` where there is none that fits.
#[cfg(target_os = "linux")]
pub fn send_file(socket: &socket2::Socket, file: &std::fs::File, most: usize) -> io::Result<usize> {
    use std::os::fd::AsRawFd as _;
    let (to, from) = (socket.as_raw_fd(), file.as_raw_fd());
    without_sigpipe(|| {
        // SAFETY: two live descriptors, and no pointer.
        let count = unsafe { libc::sendfile(to, from, std::ptr::null_mut(), most) };
        if count < 0 { Err(io::Error::last_os_error()) } else { Ok(count.unsigned_abs()) }
    })
}

/// See above; read and sent like any other content.
///
/// # Errors
///
/// Always.
#[cfg(not(target_os = "linux"))]
pub fn send_file(_: &socket2::Socket, _: &std::fs::File, _: usize) -> io::Result<usize> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Runs a call that has no flag against SIGPIPE. The signal goes to the thread that
/// makes the call, so it is blocked there, and taken back if it was raised.
#[cfg(target_os = "linux")]
fn without_sigpipe<T>(call: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let mut pipe = MaybeUninit::<libc::sigset_t>::uninit();
    let mut before = MaybeUninit::<libc::sigset_t>::uninit();
    let mut pending = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset initialises `pipe`, and pthread_sigmask and sigpending the others.
    let was_pending = unsafe {
        libc::sigemptyset(pipe.as_mut_ptr());
        libc::sigaddset(pipe.as_mut_ptr(), libc::SIGPIPE);
        libc::pthread_sigmask(libc::SIG_BLOCK, pipe.as_ptr(), before.as_mut_ptr());
        libc::sigpending(pending.as_mut_ptr());
        libc::sigismember(pending.as_ptr(), libc::SIGPIPE) == 1
    };
    let result = call();
    let was_raised = result.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe);
    // SAFETY: all were initialised above; a time of zero does not wait.
    unsafe {
        if was_raised && !was_pending {
            let now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
            libc::sigtimedwait(pipe.as_ptr(), std::ptr::null_mut(), &raw const now);
        }
        libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), std::ptr::null_mut());
    }
    result
}

/// Runs `spawn` with every signal blocked, so that the thread it starts never
/// runs a signal handler of the host program.
pub fn without_signals<T>(spawn: impl FnOnce() -> T) -> T {
    let mut all = MaybeUninit::<libc::sigset_t>::uninit();
    let mut before = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigfillset initialises `all`, and pthread_sigmask `before`.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
    }
    let result = spawn();
    // SAFETY: `before` was initialised above.
    unsafe {
        libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), std::ptr::null_mut());
    }
    result
}

/// The name of this machine, if it has one that can be read.
#[must_use]
pub fn machine_name() -> Option<String> {
    let mut buffer = [0_u8; 256];
    // SAFETY: the pointer and the length are those of a live array.
    if unsafe { libc::gethostname(buffer.as_mut_ptr().cast(), buffer.len()) } != 0 {
        return None;
    }
    let end = buffer.iter().position(|octet| *octet == 0)?;
    std::str::from_utf8(&buffer[..end]).ok().map(str::to_owned)
}

/// How many seconds local time is ahead of UTC at a time given in seconds since
/// the beginning of 1970; `None` if the system cannot tell.
#[must_use]
pub fn local_offset(seconds: i64) -> Option<i32> {
    let time = libc::time_t::try_from(seconds).ok()?;
    let mut parts = MaybeUninit::<libc::tm>::uninit();
    // SAFETY: a live integer, and room for the parts.
    if unsafe { libc::localtime_r(&raw const time, parts.as_mut_ptr()) }.is_null() {
        return None;
    }
    // SAFETY: written, since the call succeeded.
    i32::try_from(unsafe { parts.assume_init() }.tm_gmtoff).ok()
}

/// Opens a file to append lines to; one that is made can be read by its owner
/// only. Never waits for the other end of a pipe.
///
/// # Errors
///
/// What `open` says.
pub fn open_log(path: &str) -> io::Result<std::fs::File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = std::fs::OpenOptions::new();
    options.append(true).create(true).mode(0o600).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)
}

/// A number that is the same as long as this is the same process, and another in
/// a forked child. Costs no system call where the kernel can wipe a page at fork.
#[must_use]
pub fn process_epoch() -> u64 {
    static PAGE: OnceLock<Option<&'static AtomicU64>> = OnceLock::new();
    static EPOCHS: AtomicU64 = AtomicU64::new(0);
    let Some(page) = PAGE.get_or_init(page_wiped_at_fork) else {
        return u64::from(std::process::id());
    };
    let epoch = page.load(Ordering::Relaxed);
    if epoch != 0 {
        return epoch;
    }
    // First use in this process. EPOCHS is inherited, so the number is new.
    let new = EPOCHS.fetch_add(1, Ordering::Relaxed) + 1;
    match page.compare_exchange(0, new, Ordering::Relaxed, Ordering::Relaxed) {
        Ok(_) => new,
        Err(other) => other,
    }
}

#[cfg(target_os = "linux")]
fn page_wiped_at_fork() -> Option<&'static AtomicU64> {
    const LENGTH: usize = 4096;
    // SAFETY: a fresh private mapping, given to nobody else.
    let page = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            LENGTH,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if page == libc::MAP_FAILED {
        return None;
    }
    // SAFETY: the whole of the mapping made above.
    if unsafe { libc::madvise(page, LENGTH, libc::MADV_WIPEONFORK) } != 0 {
        return None;
    }
    // SAFETY: aligned to a page, zeroed, never unmapped, and only used as this atomic.
    Some(unsafe { &*page.cast::<AtomicU64>() })
}

#[cfg(not(target_os = "linux"))]
fn page_wiped_at_fork() -> Option<&'static AtomicU64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_epoch_stays_within_a_process_and_changes_in_a_child() {
        let before = process_epoch();
        assert_eq!(process_epoch(), before);
        // SAFETY: the child only reads an atomic and leaves.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let same = process_epoch() == before;
            // SAFETY: ends the child without running anything of the parent's.
            unsafe { libc::_exit(i32::from(same)) };
        }
        let mut status = 0;
        // SAFETY: a child of ours and a live integer.
        unsafe { libc::waitpid(child, &raw mut status, 0) };
        assert_eq!(status, 0, "the child must see another epoch");
        assert_eq!(process_epoch(), before);
    }
    #[cfg(target_os = "linux")]
    #[test]
    fn a_file_is_sent_to_a_closed_connection_without_a_signal() {
        let path = std::env::temp_dir().join(format!("smtpclient-send-file-{}", std::process::id()));
        std::fs::write(&path, [b'x'; 1000]).expect("written");
        let file = std::fs::File::open(&path).expect("there");
        std::fs::remove_file(&path).expect("was there");
        let (near, far) = socket2::Socket::pair(socket2::Domain::UNIX, socket2::Type::STREAM, None).expect("a pair");
        assert_eq!(send_file(&near, &file, 600).expect("sent"), 600);
        assert_eq!(send_file(&near, &file, 600).expect("sent"), 400);
        assert_eq!(send_file(&near, &file, 600).expect("the end"), 0);
        drop(far);
        io::Seek::rewind(&mut &file).expect("a file");
        // SAFETY: the child calls only what may be called after a fork, and leaves.
        let child = unsafe { libc::fork() };
        if child == 0 {
            // SAFETY: as above; a signal that is raised ends the child.
            unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
            let broken = send_file(&near, &file, 600).is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe);
            // SAFETY: ends the child without running anything of the parent's.
            unsafe { libc::_exit(i32::from(!broken)) };
        }
        let mut status = 0;
        // SAFETY: a child of ours and a live integer.
        unsafe { libc::waitpid(child, &raw mut status, 0) };
        assert_eq!(status, 0, "neither a signal nor another error");
    }
}
