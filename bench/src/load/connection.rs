//! Just enough of an HTTP/1.1 client: one request at a time on a connection that is kept.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub(super) struct Connection {
    stream: TcpStream,
    answer: Vec<u8>,
}

impl Connection {
    pub(super) async fn open(to: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(to).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, answer: Vec::with_capacity(4 << 10) })
    }

    /// Sends a request and reads its answer to the end; the status.
    pub(super) async fn exchange(&mut self, request: &[u8]) -> io::Result<u16> {
        self.stream.write_all(request).await?;
        self.answer.clear();
        loop {
            if self.stream.read_buf(&mut self.answer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if let Some(status) = status_of_whole(&self.answer) {
                return Ok(status);
            }
        }
    }
}

/// The status, once all of the answer is there.
fn status_of_whole(answer: &[u8]) -> Option<u16> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).ok()?;
    let is_length = |line: &&str| line.get(..15).is_some_and(|name| name.eq_ignore_ascii_case("content-length:"));
    let length = head.lines().find(is_length).and_then(|line| line[15..].trim().parse().ok()).unwrap_or(0);
    let status = head.split(' ').nth(1)?.parse().ok()?;
    (answer.len() >= end + 4 + length).then_some(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_when_its_body_is_there() {
        let answer = b"HTTP/1.1 202 Accepted\r\ncontent-type: text/plain\r\nContent-Length: 2\r\n\r\nok";
        assert_eq!(status_of_whole(answer), Some(202));
        assert_eq!(status_of_whole(&answer[..answer.len() - 1]), None);
        assert_eq!(status_of_whole(b"HTTP/1.1 204 No Content\r\n\r\n"), Some(204));
        assert_eq!(status_of_whole(b"HTTP/1.1 204 No Content\r\n"), None);
    }
}
