//! Messages onto lanes: while there are enough, every lane has one, and takes the next as soon as its own is done.
//!
//! Messages may differ in length as they like. A lane's message goes through its whole blocks, its tail (what is left,
//! the suffix and SHA-1's padding: one block or two) and the outer hash's only block.

use super::compress::{Backend, Block, MAX_LANES, State};
use super::{BLOCK_BYTES, CODE_BYTES, Key};

/// A message to authenticate, and where its code goes.
#[derive(Debug)]
pub struct Message<'a> {
    /// Under what.
    pub key: Key,
    /// What is authenticated, ...
    pub body: &'a [u8],
    /// ... and four bytes behind it, if they are.
    pub suffix: Option<[u8; 4]>,
    /// Takes the front of the code, as much as it holds.
    pub code: &'a mut [u8],
}

/// Computes every message's code. Nothing is allocated.
pub fn sign<'a>(backend: Backend, messages: impl IntoIterator<Item = Message<'a>>) {
    let mut messages = messages.into_iter();
    // The lanes in use are the first ones.
    let mut lanes: [Option<Lane<'a>>; MAX_LANES] = [const { None }; MAX_LANES];
    let mut states: [State; MAX_LANES] = [[0; 5]; MAX_LANES];
    let mut used = 0;
    loop {
        while used < backend.lanes()
            && let Some(message) = messages.next()
        {
            states[used] = message.key.inner;
            lanes[used] = Some(Lane::new(message));
            used += 1;
        }
        if used == 0 {
            return;
        }
        let mut blocks: [&Block; MAX_LANES] = [&[0; BLOCK_BYTES]; MAX_LANES];
        for (block, lane) in blocks.iter_mut().zip(lanes.iter_mut().flatten()) {
            *block = lane.next_block();
        }
        backend.compress(&mut states[..used], &blocks[..used]);
        for index in (0..used).rev() {
            if lanes[index].as_mut().is_some_and(|lane| lane.is_done(&mut states[index])) {
                used -= 1;
                lanes.swap(index, used);
                states.swap(index, used);
                lanes[used] = None;
            }
        }
    }
}

/// A message under way.
struct Lane<'a> {
    message: Message<'a>,
    /// What of the body has not been hashed.
    rest: &'a [u8],
    tail: [Block; 2],
    stage: Stage,
}

/// Which block is in hand.
#[derive(Clone, Copy)]
enum Stage {
    /// Of the body.
    Whole,
    /// Of the tail; how many follow it.
    Tail { left: usize },
    /// Of the outer hash.
    Outer,
}

impl<'a> Lane<'a> {
    fn new(message: Message<'a>) -> Self {
        Self { rest: message.body, message, tail: [[0; BLOCK_BYTES]; 2], stage: Stage::Whole }
    }

    /// The block that comes next.
    fn next_block(&mut self) -> &Block {
        match self.stage {
            Stage::Whole => {
                if let Some((block, rest)) = self.rest.split_first_chunk() {
                    self.rest = rest;
                    return block;
                }
                let blocks = self.write_tail();
                self.stage = Stage::Tail { left: blocks - 1 };
                &self.tail[0]
            }
            Stage::Tail { .. } => {
                self.stage = Stage::Tail { left: 0 };
                &self.tail[1]
            }
            Stage::Outer => &self.tail[0],
        }
    }

    /// After a compression: whether it was the last one, and then the code is written.
    fn is_done(&mut self, state: &mut State) -> bool {
        match self.stage {
            Stage::Whole | Stage::Tail { left: 1.. } => false,
            Stage::Tail { left: 0 } => {
                self.tail = [[0; BLOCK_BYTES]; 2];
                let [block, _] = &mut self.tail;
                put(block, 0, &bytes(*state));
                put(block, CODE_BYTES, &[0x80]);
                put(block, BLOCK_BYTES - 8, &bits(BLOCK_BYTES + CODE_BYTES));
                *state = self.message.key.outer;
                self.stage = Stage::Outer;
                false
            }
            Stage::Outer => {
                put(self.message.code, 0, &bytes(*state));
                true
            }
        }
    }

    /// The rest of the body, the suffix, a set bit, and the number of bits that were hashed, pad included. Returns in
    /// how many blocks.   RFC 3174 section 4.
    fn write_tail(&mut self) -> usize {
        let suffix = self.message.suffix.as_ref().map_or(&[][..], |suffix| suffix);
        let end = self.rest.len() + suffix.len();
        let blocks = if end + 9 <= BLOCK_BYTES { 1 } else { 2 };
        let tail = self.tail.as_flattened_mut();
        put(tail, 0, self.rest);
        put(tail, self.rest.len(), suffix);
        put(tail, end, &[0x80]);
        let hashed = BLOCK_BYTES + self.message.body.len() + suffix.len();
        put(tail, blocks * BLOCK_BYTES - 8, &bits(hashed));
        blocks
    }
}

/// Copies onto `target` from byte `at`, as much as has room.
fn put(target: &mut [u8], at: usize, source: &[u8]) {
    for (to, from) in target.iter_mut().skip(at).zip(source) {
        *to = *from;
    }
}

fn bytes(state: State) -> [u8; CODE_BYTES] {
    let mut bytes = [0; CODE_BYTES];
    for (to, word) in bytes.as_chunks_mut().0.iter_mut().zip(state) {
        *to = word.to_be_bytes();
    }
    bytes
}

fn bits(length_bytes: usize) -> [u8; 8] {
    (8 * length_bytes as u64).to_be_bytes()
}
