//! `SO_RCVLOWAT`: how many bytes must wait before a socket counts as readable.
//!
//! Measured, it is the largest single gain in reading a slot (fewer wake-ups on both sides), and no safe
//! wrapper of it exists in the crates we use; hence the only unsafe call of this crate.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Sets the mark. One is the system's default: any byte wakes.
pub(super) fn set_low_mark(socket: BorrowedFd<'_>, bytes: usize) -> io::Result<()> {
    let value = libc::c_int::try_from(bytes).unwrap_or(libc::c_int::MAX);
    let size = libc::socklen_t::try_from(size_of_val(&value)).expect("the size of an int fits");
    #[expect(unsafe_code, reason = "no safe wrapper of SO_RCVLOWAT exists")]
    // SAFETY: the descriptor is borrowed and therefore open; `value` is a live int whose address and size
    // are those passed, and the kernel only reads it during the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_RCVLOWAT,
            (&raw const value).cast(),
            size,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;

    use rustix::event::{PollFd, PollFlags, Timespec};

    use super::*;

    fn readable(socket: &TcpStream, wait_ms: i64) -> bool {
        let mut watched = [PollFd::new(socket, PollFlags::IN)];
        let wait = Timespec {
            tv_sec: 0,
            tv_nsec: wait_ms * 1_000_000,
        };
        rustix::event::poll(&mut watched, Some(&wait)).unwrap() == 1
    }

    #[test]
    fn a_socket_below_its_mark_is_not_readable_and_above_it_is() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut far, _) = listener.accept().unwrap();
        set_low_mark(near.as_fd(), 1000).unwrap();
        far.write_all(&[0; 999]).unwrap();
        assert!(!readable(&near, 20));
        far.write_all(&[0; 1]).unwrap();
        assert!(readable(&near, 900));
        set_low_mark(near.as_fd(), 1).unwrap();
        assert!(readable(&near, 0));
    }
}
