//! Wires between nodes, which can be cut: whom a node asks, it asks through a proxy of its own.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum State {
    Open,
    /// Connections are closed, and made no more.
    Cut,
    /// Nothing passes, and nobody is told. What was under way arrives when it is open again.
    Held,
}

/// From one node to another. It takes connections until it is dropped.
pub struct Wire {
    shared: Arc<Shared>,
    /// Where the one finds the other.
    pub address: SocketAddr,
}

struct Shared {
    to: SocketAddr,
    state: Mutex<Inner>,
    changed: Condvar,
}

struct Inner {
    /// None: it has ended.
    state: Option<State>,
    last: u64,
    /// Connections up to this number are lost.
    lost: u64,
    /// What each byte takes.
    byte: Duration,
    /// Both ends of each connection.
    connections: BTreeMap<u64, [TcpStream; 2]>,
}

impl Wire {
    pub fn to(to: SocketAddr) -> Self {
        let listener = listener().unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            to,
            state: Mutex::new(Inner {
                state: Some(State::Open),
                last: 0,
                lost: 0,
                byte: Duration::ZERO,
                connections: BTreeMap::new(),
            }),
            changed: Condvar::new(),
        });
        let accepting = shared.clone();
        thread::spawn(move || {
            for from in listener.incoming() {
                if accepting.state.lock().unwrap().state.is_none() {
                    return;
                }
                let shared = accepting.clone();
                thread::spawn(move || from.map(|from| shared.connect(&from)));
            }
        });
        Wire { shared, address }
    }

    pub fn set(&self, state: State) {
        self.shared.set(Some(state));
    }

    /// A MiB takes so long.
    pub fn slow(&self, mib: Duration) {
        self.shared.state.lock().unwrap().byte = mib / (1 << 20);
    }

    /// Nothing passes any more through the connections that there are, and nobody is told, also
    /// when one end is gone: as if its power had gone. New ones are made.
    pub fn lose(&self) {
        let mut inner = self.shared.state.lock().unwrap();
        inner.lost = inner.last;
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.shared.set(None);
        // Wakes who accepts.
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn set(&self, state: Option<State>) {
        let mut inner = self.state.lock().unwrap();
        inner.state = state;
        if matches!(state, None | Some(State::Cut)) {
            for ends in inner.connections.values() {
                close(ends);
            }
        }
        self.changed.notify_all();
    }

    /// Waits while it is held, or the connection is lost; whether it is open then.
    fn passes(&self, number: u64) -> bool {
        let held = |inner: &mut Inner| match inner.state {
            Some(State::Held) => true,
            Some(State::Open) => number <= inner.lost,
            Some(State::Cut) | None => false,
        };
        let inner = self.state.lock().unwrap();
        let inner = self.changed.wait_while(inner, held).unwrap();
        inner.state == Some(State::Open)
    }

    fn connect(&self, from: &TcpStream) {
        if !self.passes(u64::MAX) {
            return;
        }
        let Ok(to) = TcpStream::connect_timeout(&self.to, Duration::from_secs(1)) else {
            return;
        };
        let ends = || Some([from.try_clone().ok()?, to.try_clone().ok()?]);
        let Some(ends) = ends() else { return };
        let _ = from.set_nodelay(true);
        let _ = to.set_nodelay(true);
        let number = {
            let mut inner = self.state.lock().unwrap();
            if matches!(inner.state, None | Some(State::Cut)) {
                return;
            }
            inner.last += 1;
            let number = inner.last;
            inner.connections.insert(number, ends);
            number
        };
        thread::scope(|scope| {
            scope.spawn(|| self.pump(number, from, &to));
            self.pump(number, &to, from);
        });
        self.state.lock().unwrap().connections.remove(&number);
    }

    /// Takes bytes from one end to the other, until either ends.
    fn pump(&self, number: u64, mut from: &TcpStream, mut to: &TcpStream) {
        let mut buffer = vec![0; 64 << 10];
        loop {
            match from.read(&mut buffer) {
                Ok(0) | Err(_) => break,
                Ok(read) => {
                    let bytes = u32::try_from(read).unwrap();
                    thread::sleep(self.state.lock().unwrap().byte * bytes);
                    if !self.passes(number) || to.write_all(&buffer[..read]).is_err() {
                        break;
                    }
                }
            }
        }
        self.passes(number);
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    }
}

/// What it has taken and not passed on is little: who asks too much at once notices. (The standard
/// library's sockets have no such option.)
fn listener() -> io::Result<TcpListener> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    let listener = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(64 << 10)?;
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        socket.listen(1024)?.into_std()
    })?;
    listener.set_nonblocking(false)?;
    Ok(listener)
}

fn close(ends: &[TcpStream; 2]) {
    for end in ends {
        let _ = end.shutdown(Shutdown::Both);
    }
}
