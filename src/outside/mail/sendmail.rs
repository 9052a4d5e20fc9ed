//! `transport = "sendmail"`: a program that takes a mail on standard input (sendmail, postfix, exim, msmtp, ...).

use super::{Error, quote};
use lettre::Address;
use rustix::fs::{Access, MemfdFlags, SealFlags, access};
use rustix::process::{Pid, Signal};
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// The program should only queue the mail. After this time it is killed, and the mail tried again.
pub(crate) const LONGEST: Duration = Duration::from_secs(60);

/// Bytes kept of the program's error output.
const MOST_SAID: u64 = 16 * 1024;

/// sysexits.h: "the user specified did not exist".
const EX_NOUSER: i32 = 67;

/// sysexits.h: "the host name is unknown".
const EX_NOHOST: i32 = 68;

/// Whether the program can be started.
pub fn probe(program: &Path) -> Result<String, Error> {
    match access(program, Access::EXEC_OK) {
        Ok(()) => Ok(format!("{} takes the mails; whether it can send them, only --mail ADDRESS shows", program.display())),
        Err(cause) => {
            Err(Error::Unreachable(format!("the program {} cannot be started: {cause}; look at sendmail in [mail]", program.display())))
        }
    }
}

/// Runs `PROGRAM -i -f SENDER -- RECIPIENT`. Exit status 67 means that the mailbox does not exist, 68 that its domain was not found;
/// any other failure counts as temporary.
pub fn send(program: &Path, from: &Address, to: &Address, bytes: &[u8]) -> Result<(), Error> {
    let sentence = |what: String| format!("the program {} {what}; look at sendmail in [mail]", program.display());
    let (later, perhaps_sent) = (|what| Error::Later(sentence(what)), |what| Error::PerhapsSent(sentence(what)));
    let complaints = complaints().map_err(|cause| later(format!("cannot be listened to: {cause}")))?;
    let mut child = command(program, from, to, &complaints)
        .and_then(|mut command| command.spawn())
        .map_err(|cause| Error::Unreachable(sentence(format!("cannot be started: {cause}"))))?;
    let written = feed(&mut child, with_unix_line_ends(bytes));
    let status = wait(&mut child, LONGEST).map_err(|cause| perhaps_sent(format!("cannot be waited for: {cause}")))?;
    let said = quote(&read(&complaints));
    match status {
        None => Err(perhaps_sent(format!("did not end within {} s", LONGEST.as_secs()))),
        Some(status) if status.code() == Some(EX_NOUSER) => {
            Err(Error::Refused(format!("{} knows no such mail box: {said}", program.display())))
        }
        Some(status) if status.code() == Some(EX_NOHOST) => {
            Err(Error::PutOff(format!("{} does not find the domain: {said}", program.display())))
        }
        Some(status) if !status.success() => Err(later(format!("failed ({status}): {said}"))),
        Some(_) => match written.recv_timeout(Duration::from_millis(500)) {
            Ok(Ok(())) => Ok(()),
            _ => Err(later("ended well, but without reading the mail".into())),
        },
    }
}

/// Passes only the environment that a mail program needs: under CGI the rest comes from a visitor's request.
fn command(program: &Path, from: &Address, to: &Address, complaints: &File) -> io::Result<Command> {
    let mut command = Command::new(program);
    command.args(["-i", "-f", from.as_ref(), "--", to.as_ref()]);
    command.env_clear().env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    for name in ["HOME", "USER", "LOGNAME", "TZ"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(complaints.try_clone()?);
    // The program and its children form a process group, so that all of them can be killed.
    command.process_group(0);
    Ok(command)
}

/// These programs expect the line ends of a Unix text file.
fn with_unix_line_ends(bytes: &[u8]) -> Vec<u8> {
    let mut text = bytes.to_vec();
    text.retain(|byte| *byte != b'\r');
    text
}

fn feed(child: &mut Child, bytes: Vec<u8>) -> mpsc::Receiver<io::Result<()>> {
    let (done, written) = mpsc::channel();
    let stdin = child.stdin.take();
    let write = move || {
        let outcome = stdin.map_or(Ok(()), |mut stdin| stdin.write_all(&bytes));
        let _ = done.send(outcome);
    };
    // If the thread cannot be started, nothing is written, and the channel reports that.
    drop(thread::Builder::new().name("sendmail".into()).spawn(write));
    written
}

/// Receives the program's error output. A file in memory and not a pipe, because a child that the program leaves behind may
/// hold it open for any time. It cannot grow.
fn complaints() -> io::Result<File> {
    let file = rustix::fs::memfd_create("complaints", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    rustix::fs::ftruncate(&file, MOST_SAID)?;
    rustix::fs::fcntl_add_seals(&file, SealFlags::GROW | SealFlags::SHRINK)?;
    Ok(file.into())
}

fn read(complaints: &File) -> String {
    let mut said = vec![0; MOST_SAID as usize];
    let length = complaints.read_at(&mut said, 0).unwrap_or(0);
    String::from_utf8_lossy(&said[..length]).trim_end_matches('\0').to_owned()
}

/// `None`: the program took too long and was killed.
fn wait(child: &mut Child, longest: Duration) -> io::Result<Option<ExitStatus>> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if start.elapsed() > longest {
            let _ = rustix::process::kill_process_group(Pid::from_child(child), Signal::KILL);
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(Duration::from_millis(10));
    }
}
