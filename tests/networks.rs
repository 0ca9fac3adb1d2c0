//! To which address, from which address and over whose socket: over sockets, through
//! the C interface.

#[path = "support/scripted.rs"]
mod scripted;
#[path = "support/smtp.rs"]
mod smtp;

use scripted::{Scripted, Step};
use smtp::Smtp;
use smtpclient::client::{Options, Property};
use smtpclient::error::{Code, Phase};
use socket2::{Domain, SockRef, Socket, Type};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, IntoRawFd};
use std::thread::JoinHandle;

fn session() -> Vec<Step> {
    vec![
        Step::Send(b"220 hi\r\n".to_vec()),
        Step::Expect(b"EHLO client.example\r\n".to_vec()),
        Step::Send(b"250 hi\r\n".to_vec()),
        Step::Expect(b"QUIT\r\n".to_vec()),
        Step::Send(b"221 bye\r\n".to_vec()),
        Step::AwaitClose,
    ]
}

/// The server's part on a connection that is there.
fn serve(mut stream: impl Read + Write) {
    stream.write_all(b"220 hi\r\n").expect("greeted");
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    while reader.read_line(&mut line).is_ok_and(|count| count > 0) {
        let quit = line.starts_with("QUIT");
        let reply = if quit { "221 bye\r\n" } else { "250-hi\r\n250 AUTH PLAIN\r\n" };
        reader.get_mut().write_all(reply.as_bytes()).expect("answered");
        line.clear();
        if quit {
            break;
        }
    }
}

/// A server that tells from where its one client came.
fn server_on(listener: TcpListener) -> JoinHandle<SocketAddr> {
    std::thread::spawn(move || {
        let (stream, from) = listener.accept().expect("a client");
        serve(stream);
        from
    })
}

fn listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    (listener, port)
}

#[test]
fn an_address_under_another_name() {
    let server = Scripted::start(session());
    let client = Smtp::new();
    client.set_text(Property::ConnectAddress, "127.0.0.1");
    client.connect_to("mail.example.invalid", server.port, 0).expect("nothing is looked up");
    assert_eq!(client.text(Property::PeerAddress), format!("127.0.0.1:{}", server.port));
    client.disconnect().expect("always");
    server.finish().expect("as scripted");
}

#[test]
fn an_address_goes_before_a_host_that_is_one() {
    let server = Scripted::start(session());
    let client = Smtp::new();
    client.set_text(Property::ConnectAddress, "127.0.0.1");
    client.connect_to("127.0.0.77", server.port, 0).expect("the other one");
    client.disconnect().expect("always");
    server.finish().expect("as scripted");
}

/// A listener that takes nothing: its queue is full, so that the next connection
/// gets no answer.
fn black_hole(address: SocketAddr) -> impl Sized {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    listener.bind(&address.into()).expect("a port");
    listener.listen(0).expect("listens");
    let fillers: Vec<Socket> = (0..3)
        .map(|_| {
            let filler = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
            filler.set_nonblocking(true).expect("does not wait");
            let _ = filler.connect(&address.into());
            filler
        })
        .collect();
    (listener, fillers)
}

#[test]
fn dead_addresses_lose_the_race() {
    let (listener, port) = listener();
    // Nothing listens on the first, and the second does not answer.
    let hole = black_hole(SocketAddr::from(([127, 0, 0, 3], port)));
    let server = server_on(listener);
    let client = Smtp::new();
    client.set_text(Property::ConnectAddress, "127.0.0.2,127.0.0.3,127.0.0.1");
    client.connect_to("mail.example", port, 0).expect("the third answers");
    assert_eq!(client.text(Property::PeerAddress), format!("127.0.0.1:{port}"));
    client.disconnect().expect("always");
    server.join().expect("no panic");
    drop(hole);
}

#[test]
fn an_error_tells_how_each_address_failed() {
    let port = listener().1;
    let hole = black_hole(SocketAddr::from(([127, 0, 0, 3], port)));
    let client = Smtp::new();
    client.set_text(Property::ConnectAddress, "127.0.0.2,127.0.0.4");
    let failure = client.connect_to("mail.example", port, 0).expect_err("nobody there");
    assert_eq!((failure.code, failure.phase), (Code::CONNECTION_REFUSED, Phase::Connect));
    let attempts = client.text(Property::ErrorAttempts);
    let lines: Vec<_> = attempts.lines().collect();
    assert_eq!(lines.len(), 2, "{attempts}");
    for (line, host) in lines.iter().zip(["127.0.0.2", "127.0.0.4"]) {
        assert!(line.starts_with(&format!("{host}:{port}: Connection refused")), "{line}");
        assert!(failure.sentence.contains(&format!("{host}:{port} (Connection refused")), "{failure:?}");
        let member = format!("{{\"address\":\"{host}:{port}\",\"error\":\"Connection refused");
        assert!(client.text(Property::ErrorJson).contains(&member), "{}", client.text(Property::ErrorJson));
    }
    client.set_text(Property::ConnectAddress, "127.0.0.2,127.0.0.3");
    client.set(Property::TimeoutConnect, 100);
    let failure = client.connect_to("mail.example", port, 0).expect_err("no answer");
    assert_eq!((failure.code, failure.phase), (Code::TIMEOUT, Phase::Connect));
    let attempts = client.text(Property::ErrorAttempts);
    assert!(attempts.contains(&format!("127.0.0.2:{port}: Connection refused")), "{attempts}");
    assert!(attempts.ends_with(&format!("127.0.0.3:{port}: no answer")), "{attempts}");
    drop(hole);
}

#[test]
fn one_family_only() {
    let (listener, port) = listener();
    let client = Smtp::new();
    client.set(Property::AddressFamily, 2);
    for (addresses, host) in [("", "127.0.0.1"), ("127.0.0.1", "mail.example")] {
        client.set_text(Property::ConnectAddress, addresses);
        let failure = client.connect_to(host, port, 0).expect_err("IPv4");
        assert_eq!(failure.code, Code::HOST_NOT_FOUND);
        assert!(failure.sentence.contains("no IPv6 address"), "{failure:?}");
    }
    client.set(Property::AddressFamily, 1);
    client.set_text(Property::ConnectAddress, "");
    let server = server_on(listener);
    client.connect_to("localhost", port, Options::PREFER_IPV6.0).expect("IPv4 only");
    assert_eq!(client.text(Property::PeerAddress), format!("127.0.0.1:{port}"));
    client.disconnect().expect("always");
    server.join().expect("no panic");
}

#[test]
fn ipv6_goes_first_if_preferred() {
    let port = listener().1;
    let client = Smtp::new();
    client.set_text(Property::ConnectAddress, "127.0.0.2,127.0.0.3,::1");
    for (options, expected) in [(0, "127.0.0.2 [::1] 127.0.0.3"), (Options::PREFER_IPV6.0, "[::1] 127.0.0.2 127.0.0.3")]
    {
        client.connect_to("mail.example", port, options).expect_err("nobody there");
        let attempts = client.text(Property::ErrorAttempts);
        let hosts: Vec<_> = attempts.lines().filter_map(|line| line.split(&format!(":{port}: ")).next()).collect();
        assert_eq!(hosts.join(" "), expected);
    }
}

#[test]
fn from_a_given_address_and_port() {
    let client = Smtp::new();
    for with_port in [false, true] {
        let (listener, port) = listener();
        let server = server_on(listener);
        let own = self::listener().1;
        let text = if with_port { format!("127.0.0.2:{own}") } else { "127.0.0.2".to_owned() };
        client.set_text(Property::LocalBindAddress, &text);
        client.connect(port, 0).expect("connects");
        let local = client.text(Property::LocalAddress);
        client.disconnect().expect("always");
        let from = server.join().expect("no panic");
        assert_eq!((from.ip().to_string().as_str(), from.to_string()), ("127.0.0.2", local));
        assert!(!with_port || from.port() == own);
    }
    // Twice from the same port to another server: the first is in TIME_WAIT perhaps.
    let (listener, port) = listener();
    let server = server_on(listener);
    client.connect(port, 0).expect("connects");
    client.disconnect().expect("always");
    server.join().expect("no panic");
}

#[test]
fn an_address_that_is_not_this_machines() {
    let (_listener, port) = listener();
    let client = Smtp::new();
    client.set_text(Property::LocalBindAddress, "192.0.2.1");
    let failure = client.connect(port, 0).expect_err("not ours");
    assert_eq!((failure.code, failure.phase), (Code::ADDRESS_UNAVAILABLE, Phase::Connect));
    assert!(failure.sentence.contains("the local address 192.0.2.1:0 cannot be used"), "{failure:?}");
    assert_eq!(client.integer(Property::ErrorOs), i64::from(libc::EADDRNOTAVAIL));
    client.set_text(Property::LocalBindAddress, "::1");
    let failure = client.connect(port, 0).expect_err("the other family");
    assert!(failure.sentence.contains("the local address ::1 is of the other family"), "{failure:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn through_an_interface() {
    let (listener, port) = listener();
    let server = server_on(listener);
    let client = Smtp::new();
    client.set_text(Property::LocalInterface, "no-such-one");
    let failure = client.connect(port, 0).expect_err("no such interface");
    assert!(failure.sentence.contains("the network interface no-such-one cannot be used"), "{failure:?}");
    let number = client.integer(Property::ErrorOs);
    assert!([i64::from(libc::ENODEV), i64::from(libc::EPERM)].contains(&number), "{failure:?}");
    client.set_text(Property::LocalInterface, "lo");
    match client.connect(port, 0) {
        Ok(()) => {
            client.disconnect().expect("always");
            server.join().expect("no panic");
        }
        // Kernels before 5.7 want a right for it.
        Err(failure) => assert!(failure.sentence.contains("CAP_NET_RAW"), "{failure:?}"),
    }
}

/// Whether a number stands for something that is open.
fn is_open(number: i32) -> bool {
    std::fs::read_link(format!("/proc/self/fd/{number}")).is_ok()
}

#[test]
fn a_socket_of_the_callers_is_the_clients_on_success() {
    let (listener, port) = listener();
    let server = server_on(listener);
    let stream = TcpStream::connect(("127.0.0.1", port)).expect("connects");
    let local = stream.local_addr().expect("an address");
    // Seen through another number: what was set counts for the connection.
    let watched = stream.try_clone().expect("a number");
    let client = Smtp::new();
    client.set(Property::KeepAlive, 77);
    client.attach(stream.into_raw_fd() as isize, "mail.example", 0).expect("greeted");
    assert_eq!(client.text(Property::LocalAddress), local.to_string());
    assert_eq!(client.text(Property::PeerAddress), format!("127.0.0.1:{port}"));
    let watched = SockRef::from(&watched);
    assert!(watched.keepalive().expect("told"));
    assert_eq!(watched.tcp_keepalive_time().expect("told").as_secs(), 77);
    let failure = client.authenticate("tim", "secret").expect_err("who knows where it leads");
    assert_eq!(failure.code, Code::INSECURE_CREDENTIALS);
    client.disconnect().expect("always");
    assert_eq!(server.join().expect("no panic"), local);
}

#[test]
fn one_end_of_a_pair() {
    let (near, far) = std::os::unix::net::UnixStream::pair().expect("a pair");
    let server = std::thread::spawn(move || serve(far));
    let client = Smtp::new();
    client.attach(near.into_raw_fd() as isize, "mail.example", 0).expect("greeted");
    let failure = client.attach(0, "mail.example", 0).expect_err("one at a time");
    assert_eq!(failure.code, Code::ALREADY_CONNECTED);
    client.disconnect().expect("always");
    server.join().expect("no panic");
}

#[test]
fn a_socket_of_the_callers_stays_the_callers_on_failure() {
    let (near, mut far) = std::os::unix::net::UnixStream::pair().expect("a pair");
    far.write_all(b"554 no\r\n").expect("refused");
    let client = Smtp::new();
    let failure = client.attach(near.as_raw_fd() as isize, "mail.example", 0).expect_err("refused");
    assert_eq!(failure.code, Code::SERVER_REFUSED);
    assert!(is_open(near.as_raw_fd()));

    let udp = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
    let unconnected = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    let file = std::fs::File::open("/dev/null").expect("opens");
    // Closed: nobody else gets a number as high as this.
    for number in [udp.as_raw_fd(), unconnected.as_raw_fd(), file.as_raw_fd(), 1_000_000, -1] {
        let failure = client.attach(number as isize, "mail.example", 0).expect_err("no connection");
        assert_eq!((failure.code, failure.phase), (Code::INVALID_PARAMETER, Phase::Argument), "{failure:?}");
        assert!(failure.sentence.contains(&format!("the socket {number} is no connected")), "{failure:?}");
    }
    let failure = client.attach(1 << 40, "mail.example", 0).expect_err("no number");
    assert_eq!(failure.code, Code::INVALID_PARAMETER);
    assert!(is_open(udp.as_raw_fd()) && is_open(unconnected.as_raw_fd()) && is_open(file.as_raw_fd()));
    let failure = client.attach(near.as_raw_fd() as isize, "", 0).expect_err("no host");
    assert!(failure.sentence.contains("no host was given"), "{failure:?}");
}

#[test]
fn a_used_up_connection_of_the_callers_cannot_be_made_anew() {
    let (near, far) = std::os::unix::net::UnixStream::pair().expect("a pair");
    let server = std::thread::spawn(move || {
        let mut far = far;
        far.write_all(b"220 hi\r\n").expect("greeted");
        let mut reader = BufReader::new(far);
        let mut lines = String::new();
        for reply in ["250-hi\r\n250 LIMITS MAILMAX=1\r\n", "250 ok\r\n", "250 ok\r\n", "354 go\r\n"] {
            reader.read_line(&mut lines).expect("a line");
            reader.get_mut().write_all(reply.as_bytes()).expect("answered");
        }
        while !lines.ends_with("\r\n.\r\n") {
            reader.read_line(&mut lines).expect("a line");
        }
        reader.get_mut().write_all(b"250 ok\r\n").expect("answered");
        reader.read_line(&mut lines).expect("a line");
        reader.get_mut().write_all(b"221 bye\r\n").expect("answered");
        lines
    });
    let client = Smtp::new();
    client.attach(near.into_raw_fd() as isize, "mail.example", 0).expect("greeted");
    client.send("a@x.example", "b@y.example", b"1\r\n").expect("sent");
    let failure = client.send("a@x.example", "b@y.example", b"2\r\n").expect_err("no more over this one");
    assert_eq!(failure.code, Code::NOT_CONNECTED);
    assert!(failure.sentence.contains("SmtpAttachSocket"), "{failure:?}");
    assert_eq!(client.message_outcome(), "NOT_SENT");
    assert!(server.join().expect("no panic").ends_with("QUIT\r\n"));
}

#[test]
fn a_cancel_ends_the_wait_on_a_socket_of_the_callers() {
    let (near, far) = std::os::unix::net::UnixStream::pair().expect("a pair");
    let client = Smtp::new();
    client.set(Property::TimeoutGreeting, 0);
    std::thread::scope(|scope| {
        let call = scope.spawn(|| client.attach(near.as_raw_fd() as isize, "mail.example", 0));
        while client.integer(Property::Phase) != Phase::Greeting as i64 {
            std::thread::yield_now();
        }
        assert_eq!(smtpclient::ffi::SmtpCancel(client.0), 0);
        assert_eq!(call.join().expect("no panic").expect_err("cancelled").code, Code::CANCELLED);
    });
    drop((near, far));
}
