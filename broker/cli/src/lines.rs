//! Input cut into lines at the speed of the disk: big blocks are read on a thread of their own and
//! cut where newlines are, without an allocation or a copy per line. Lines are bytes, not text; a
//! carriage return is kept; the last line may lack its newline.

use crate::failure::Failure;
use bytes::{Bytes, BytesMut};
use std::io::{self, Read};
use tokio::sync::mpsc;

/// The longest line, in bytes.
pub(crate) const LINE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What one read asks for, in bytes.
const READ_BYTES: usize = 256 * 1024;

/// Blocks that may wait for the one who takes them.
const BLOCKS_WAITING_MAX: usize = 4;

/// Some whole lines of the input.
#[derive(Debug)]
pub(crate) struct Block {
    /// The bytes; lines are slices of them.
    data: Bytes,
    /// Where each line starts and ends (its newline left out).
    lines: Vec<(usize, usize)>,
    /// The number of the first line, from 1.
    pub(crate) first_line: u64,
}

impl Block {
    /// How many lines are in it.
    pub(crate) fn len(&self) -> usize {
        self.lines.len()
    }

    /// The line at this place in the block.
    pub(crate) fn line(&self, index: usize) -> Option<&[u8]> {
        let &(start, end) = self.lines.get(index)?;
        self.data.get(start..end)
    }

    /// The lines, each a reference into the block, with their numbers.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (u64, &[u8])> + Send {
        let cut = |&(start, end): &(usize, usize)| self.data.get(start..end).unwrap_or_default();
        (self.first_line..).zip(self.lines.iter().map(cut))
    }
}

/// Reads `input` to its end on a thread of its own. A block comes as soon as it holds a whole
/// line, so that what a person types is sent at once.
pub(crate) fn read(
    mut input: impl Read + Send + 'static,
    name: String,
) -> mpsc::Receiver<Result<Block, Failure>> {
    let (sender, receiver) = mpsc::channel(BLOCKS_WAITING_MAX);
    std::thread::spawn(move || {
        let mut cutter = Cutter::default();
        loop {
            let (block, more) = match cutter.read(&mut input) {
                Ok(Some(block)) => (Ok(block), true),
                Ok(None) => return,
                Err(error) => (Err(cutter.failure(&name, &error)), false),
            };
            // Whoever takes the lines may have stopped; then so does this thread.
            if sender.blocking_send(block).is_err() || !more {
                return;
            }
        }
    });
    receiver
}

/// Reads and cuts; holds what is left of a line between two reads.
#[derive(Default)]
struct Cutter {
    rest: BytesMut,
    lines_before: u64,
    at_end: bool,
}

impl Cutter {
    /// The next block, or nothing at the end.
    fn read(&mut self, input: &mut impl Read) -> io::Result<Option<Block>> {
        while !self.at_end {
            let searched = self.rest.len();
            self.rest.resize(searched + READ_BYTES, 0);
            let got = loop {
                match input.read(self.rest.get_mut(searched..).unwrap_or_default()) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    got => break got,
                }
            };
            self.rest
                .truncate(searched + got.as_ref().copied().unwrap_or(0));
            self.at_end = got? == 0;
            let fresh = self.rest.get(searched..).unwrap_or_default();
            if let Some(last) = fresh.iter().rposition(|&byte| byte == b'\n') {
                let block = self.rest.split_to(searched + last + 1).freeze();
                return Ok(Some(self.cut(block)));
            }
            if self.rest.len() > LINE_BYTES_MAX {
                return Err(io::Error::from(io::ErrorKind::FileTooLarge));
            }
        }
        if self.rest.is_empty() {
            return Ok(None);
        }
        let block = self.rest.split().freeze();
        Ok(Some(self.cut(block)))
    }

    fn cut(&mut self, data: Bytes) -> Block {
        let mut lines = Vec::with_capacity(data.len() / 128 + 1);
        let mut start = 0;
        newlines(&data, |at| {
            lines.push((start, at));
            start = at + 1;
        });
        if start < data.len() {
            lines.push((start, data.len()));
        }
        let first_line = self.lines_before + 1;
        self.lines_before += lines.len() as u64;
        Block {
            data,
            lines,
            first_line,
        }
    }

    fn failure(&self, name: &str, error: &io::Error) -> Failure {
        if error.kind() == io::ErrorKind::FileTooLarge {
            let line = self.lines_before + 1;
            let text = format!("line {line} of {name} is longer than {LINE_BYTES_MAX} bytes");
            return Failure::usage(text).advise("is this a file of lines?");
        }
        Failure::io(format_args!("cannot read {name}"), error)
    }
}

/// Calls `found` with the place of each newline. Whole chunks without one are passed over by a
/// comparison that the compiler turns into vector instructions.
fn newlines(data: &[u8], mut found: impl FnMut(usize)) {
    const CHUNK: usize = 64;
    for (index, chunk) in data.chunks(CHUNK).enumerate() {
        if chunk.iter().fold(false, |any, &byte| any | (byte == b'\n')) {
            for (inner, &byte) in chunk.iter().enumerate() {
                if byte == b'\n' {
                    found(index * CHUNK + inner);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives the input in pieces of one size, as a slow pipe does.
    struct Pieces<'a>(&'a [u8], usize);

    impl Read for Pieces<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let take = self.1.min(self.0.len()).min(buffer.len());
            let (now, later) = self.0.split_at(take);
            buffer[..take].copy_from_slice(now);
            self.0 = later;
            Ok(take)
        }
    }

    fn all(input: &[u8], piece: usize) -> Vec<Vec<u8>> {
        let mut cutter = Cutter::default();
        let mut pieces = Pieces(input, piece);
        let mut lines = Vec::new();
        while let Some(block) = cutter.read(&mut pieces).unwrap() {
            assert_eq!(block.first_line, lines.len() as u64 + 1);
            lines.extend(block.lines().map(|(_, line)| line.to_vec()));
        }
        lines
    }

    #[test]
    fn lines_are_the_same_however_the_input_comes() {
        let long = vec![b'x'; 3 * READ_BYTES];
        let mut input = b"one\n\ntwo\r\n\xff\xfe\n".to_vec();
        input.extend_from_slice(&long);
        input.extend_from_slice(b"\nlast");
        let expected: Vec<Vec<u8>> = vec![
            b"one".to_vec(),
            b"".to_vec(),
            b"two\r".to_vec(),
            b"\xff\xfe".to_vec(),
            long,
            b"last".to_vec(),
        ];
        for piece in [1000, 65_536, usize::MAX] {
            assert_eq!(all(&input, piece), expected, "in pieces of {piece}");
        }
        assert_eq!(all(b"a\nb\n", 1), [b"a".to_vec(), b"b".to_vec()]);
        assert_eq!(all(b"\n", 1), [b"".to_vec()]);
        assert_eq!(all(b"", 1), Vec::<Vec<u8>>::new());
    }

    #[test]
    fn a_line_without_end_is_refused() {
        struct Endless;
        impl Read for Endless {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                buffer.fill(b'x');
                Ok(buffer.len())
            }
        }
        let mut cutter = Cutter::default();
        let error = cutter.read(&mut Endless).unwrap_err();
        let failure = cutter.failure("standard input", &error);
        assert_eq!(
            failure.to_string(),
            "line 1 of standard input is longer than 67108864 bytes; is this a file of lines?"
        );
    }
}
