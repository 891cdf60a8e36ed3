//! Starts the real program and talks HTTP to it.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use serde_json::Value;

/// A running catalog; killed when dropped.
pub struct Catalog {
    child: Child,
    /// `127.0.0.1:PORT`.
    pub address: String,
    client: Client,
}

/// An answer with its status, whatever that is.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub text: String,
    headers: Vec<(String, String)>,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self
            .headers
            .iter()
            .find(|(header, _)| header.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// `X-Consul-Index`.
    pub fn index(&self) -> u64 {
        let text = self.header("x-consul-index");
        text.unwrap_or_else(|| panic!("no index in {self:?}"))
            .parse()
            .unwrap()
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(self.status, 200, "{self:?}");
        self
    }

    #[track_caller]
    pub fn refused(&self, status: u16, text: &str) {
        assert_eq!(self.status, status, "{self:?}");
        assert!(self.text.contains(text), "{self:?}");
    }
}

impl Catalog {
    pub fn in_memory() -> Self {
        Self::start(&["--memory"])
    }

    pub fn in_folder(folder: &Path) -> Self {
        Self::start(&["--data", folder.to_str().unwrap()])
    }

    fn start(args: &[&str]) -> Self {
        let mut program = Self::program();
        program.args(["--listen", "127.0.0.1:0"]).args(args);
        Self::run(&mut program)
    }

    /// The program, to be given its arguments.
    pub fn program() -> Command {
        Command::new(env!("CARGO_BIN_EXE_catalog"))
    }

    /// Starts it, and waits until it listens.
    pub fn run(program: &mut Command) -> Self {
        Self::run_nodes(program, 1).0
    }

    /// Starts it, and waits until so many nodes listen: the program, which is also the first, and
    /// all of them.
    pub fn run_nodes(program: &mut Command, nodes: usize) -> (Self, Vec<Client>) {
        let mut child = program.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let listening = lines.filter_map(|line| {
            let line = line.unwrap();
            let (_, address) = line.split_once("http://")?;
            Some(Client::new(address.to_owned()))
        });
        let clients: Vec<Client> = listening.take(nodes).collect();
        assert_eq!(clients.len(), nodes, "the program says where it listens");
        let catalog = Catalog {
            child,
            address: clients[0].address.clone(),
            client: clients[0].clone(),
        };
        (catalog, clients)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// `kill -9`, as if the power had gone.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends it a signal, as `-STOP`.
    pub fn signal(&self, signal: &str) {
        let pid = self.pid().to_string();
        let sent = Command::new("kill").args([signal, &pid]).status();
        assert!(sent.unwrap().success());
    }

    /// Asks it to end, and waits until it has.
    pub fn terminate(&mut self) -> ExitStatus {
        self.signal("-TERM");
        self.wait()
    }

    /// Waits until it has ended.
    pub fn wait(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// A second handle on the same server, for another thread.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    pub fn get(&self, path: &str) -> Reply {
        self.client.get(path)
    }

    pub fn put(&self, path: &str, body: impl AsRef<[u8]>) -> Reply {
        self.client.put(path, body)
    }

    pub fn put_json(&self, path: &str, body: &Value) -> Reply {
        self.put(path, body.to_string())
    }

    pub fn delete(&self, path: &str) -> Reply {
        self.client.request("DELETE", path, &[]).unwrap()
    }
}

impl Drop for Catalog {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[derive(Clone, Debug)]
pub struct Client {
    agent: ureq::Agent,
    /// `127.0.0.1:PORT`.
    pub address: String,
}

impl Client {
    pub fn new(address: String) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_mins(1)))
            .build();
        Client {
            agent: config.into(),
            address,
        }
    }

    pub fn get(&self, path: &str) -> Reply {
        self.request("GET", path, &[]).unwrap()
    }

    pub fn put(&self, path: &str, body: impl AsRef<[u8]>) -> Reply {
        self.request("PUT", path, body.as_ref()).unwrap()
    }

    pub fn request(&self, method: &str, path: &str, body: &[u8]) -> Result<Reply, ureq::Error> {
        self.request_with(&[], method, path, body)
    }

    /// The same, with headers.
    pub fn request_with(
        &self,
        headers: &[(&str, &str)],
        method: &str,
        path: &str,
        body: &[u8],
    ) -> Result<Reply, ureq::Error> {
        let mut request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut response = self.agent.run(request.body(body)?)?;
        let headers = response.headers().iter().map(|(name, value)| {
            (
                name.to_string(),
                String::from_utf8_lossy(value.as_bytes()).into_owned(),
            )
        });
        Ok(Reply {
            status: response.status().as_u16(),
            headers: headers.collect(),
            text: response.body_mut().read_to_string()?,
        })
    }
}
