//! A proxy between the programs and the mail server that loses, cuts, delays, refuses and repeats mails, and records what it
//! did.

use crate::weather::Weather;
use crate::world::process::running_below;
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;

/// The faults. In those "taken" the mail server has the mail, and the program does not know.
const MISHAPS: [&str; 11] = [
    "mail refused",
    "mail hung",
    "mail's 421",
    "mail's 451",
    "mail's 550 5.7.1",
    "mail cut before its content",
    "mail cut in its content",
    "mail's answer lost, taken",
    "mail hung, taken",
    "mail's 451, taken",
    "mail sent twice",
];

/// A mail that the mail server accepted.
#[derive(Debug, Clone)]
pub struct Handed {
    pub message_id: String,
    pub beat: usize,
    /// The process that sent it; `None` if it was gone before the mail server answered.
    pub sender: Option<u32>,
    /// Whether the program was told that the mail server has the mail, provided that it was still running.
    pub answered: bool,
    /// Whether this is a second copy made by the proxy.
    pub by_proxy: bool,
}

pub struct MailProxy {
    pub port: u16,
    handed: Arc<Mutex<Vec<Handed>>>,
}

impl MailProxy {
    /// Listens on loopback until the process ends. `sites` are the folders of the programs.
    pub fn start(server: u16, weather: &Arc<Weather>, sites: Vec<PathBuf>) -> MailProxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = MailProxy { port: listener.local_addr().unwrap().port(), handed: Arc::default() };
        let (weather, handed, sites) = (weather.clone(), proxy.handed.clone(), Arc::new(sites));
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (weather, handed, sites) = (weather.clone(), handed.clone(), sites.clone());
                thread::spawn(move || {
                    let _under_way = weather.under_way("a mail");
                    // Either side may be gone; that is intended.
                    let _ = Conversation { server, weather: &weather, handed: &handed, sites: &sites }.hold(client);
                });
            }
        });
        proxy
    }

    /// The mails accepted since the last call.
    pub fn take_handed(&self) -> Vec<Handed> {
        std::mem::take(&mut *self.handed.lock().unwrap())
    }
}

struct Conversation<'a> {
    server: u16,
    weather: &'a Weather,
    handed: &'a Mutex<Vec<Handed>>,
    sites: &'a [PathBuf],
}

impl Conversation<'_> {
    fn hold(&self, mut client: TcpStream) -> io::Result<()> {
        let mishap = self.weather.mishap(&MISHAPS);
        match mishap {
            "mail refused" => return client.shutdown(Shutdown::Both),
            "mail's 421" => return client.write_all(b"421 4.3.2 Come back later\r\n"),
            "mail hung" => {
                self.weather.hang();
                return Ok(());
            }
            _ => {}
        }
        let mut server = Peer::connect(self.server)?;
        client.write_all(&server.reply()?)?;
        let mut reader = BufReader::new(client.try_clone()?);
        let mut envelope = Vec::new();
        loop {
            let line = read_line(&mut reader)?;
            let verb = line.get(..4).unwrap_or_default().to_ascii_uppercase();
            match (verb.as_slice(), mishap) {
                (b"RCPT", "mail's 451") => client.write_all(b"451 4.3.0 Try again later\r\n")?,
                (b"RCPT", "mail's 550 5.7.1") => client.write_all(b"550 5.7.1 Relaying denied\r\n")?,
                (b"DATA", "mail cut before its content") => return client.shutdown(Shutdown::Both),
                (b"DATA", _) => {
                    client.write_all(&server.ask(&line)?)?;
                    self.content(&mut client, &mut reader, &mut server, &envelope, mishap)?;
                }
                (verb, _) => {
                    if matches!(verb, b"MAIL" | b"RCPT") {
                        envelope.push(line.clone());
                    }
                    client.write_all(&server.ask(&line)?)?;
                    if verb == b"QUIT" {
                        return Ok(());
                    }
                }
            }
        }
    }

    fn content(
        &self,
        client: &mut TcpStream,
        reader: &mut impl BufRead,
        server: &mut Peer,
        envelope: &[Vec<u8>],
        mishap: &str,
    ) -> io::Result<()> {
        let mut content = Vec::new();
        while !content.ends_with(b"\r\n.\r\n") {
            content.extend(read_line(reader)?);
        }
        if mishap == "mail cut in its content" {
            server.write(&content[..content.len() / 2])?;
            return client.shutdown(Shutdown::Both);
        }
        let beat = self.weather.beat();
        let port = client.peer_addr()?.port();
        // A live process waits for the answer. The kernel's tables change while they are read, so a second attempt may find
        // more.
        let mut sender = None;
        while sender.is_none() && !has_hung_up(client) {
            sender = sender_at(port, self.sites);
        }
        let reply = server.ask(&content)?;
        let answered = !mishap.ends_with("taken") && sender.is_some();
        let handed = Handed { message_id: message_id(&content), beat, sender, answered, by_proxy: false };
        self.handed.lock().unwrap().push(handed.clone());
        match mishap {
            "mail's answer lost, taken" => return client.shutdown(Shutdown::Both),
            "mail hung, taken" => {
                self.weather.hang();
                return client.shutdown(Shutdown::Both);
            }
            "mail's 451, taken" => return client.write_all(b"451 4.3.0 Lost my memory\r\n"),
            "mail sent twice" => {
                let mut again = Peer::connect(self.server)?;
                again.reply()?;
                again.ask(b"EHLO proxy.test\r\n")?;
                for line in envelope {
                    again.ask(line)?;
                }
                again.ask(b"DATA\r\n")?;
                again.ask(&content)?;
                self.handed.lock().unwrap().push(Handed { by_proxy: true, ..handed });
            }
            _ => {}
        }
        client.write_all(&reply)
    }
}

/// A connection to the mail server.
struct Peer(BufReader<TcpStream>);

impl Peer {
    fn connect(port: u16) -> io::Result<Peer> {
        Ok(Peer(BufReader::new(TcpStream::connect(("127.0.0.1", port))?)))
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.get_mut().write_all(bytes)
    }

    fn ask(&mut self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        self.write(bytes)?;
        self.reply()
    }

    /// Reads all lines of one reply.
    fn reply(&mut self) -> io::Result<Vec<u8>> {
        let mut reply = Vec::new();
        loop {
            let line = read_line(&mut self.0)?;
            reply.extend_from_slice(&line);
            if line.get(3) != Some(&b'-') {
                return Ok(reply);
            }
        }
    }
}

fn read_line(reader: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    match reader.read_until(b'\n', &mut line)? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(line),
    }
}

fn message_id(content: &[u8]) -> String {
    let text = String::from_utf8_lossy(content);
    let header = text.lines().find_map(|line| line.strip_prefix("Message-ID:"));
    header.unwrap_or_default().trim().to_owned()
}

/// Whether the other end is closed: its process is dead, or waits no longer.
fn has_hung_up(client: &TcpStream) -> bool {
    let _ = client.set_nonblocking(true);
    let peeked = client.peek(&mut [0]);
    let _ = client.set_nonblocking(false);
    !matches!(peeked, Err(cause) if cause.kind() == io::ErrorKind::WouldBlock)
}

/// The process at the other end of a connection from this port: the kernel's table lists its socket, and the process's folder
/// in /proc contains a link to that.
fn sender_at(port: u16, sites: &[PathBuf]) -> Option<u32> {
    let table = fs::read_to_string("/proc/net/tcp").ok()?;
    let local = format!("0100007F:{port:04X}");
    // With thousands of lines, one search is faster than parsing each. The address is followed by seven columns and the socket.
    let own = table.split_once(&format!(": {local} "))?.1;
    let socket = format!("socket:[{}]", own.split_whitespace().nth(7)?);
    let has_it = |pid: u32| {
        let links = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        links.filter_map(|link| fs::read_link(link.path()).ok()).any(|link| link == Path::new(&socket))
    };
    sites.iter().flat_map(|site| running_below(site)).map(|(pid, ..)| pid).find(|pid| has_it(*pid))
}
