//! Samples that are decoded and wait to be given out: a queue in one fixed piece of memory.

/// First in, first out; always contiguous, so that its front can be edited.
#[derive(Debug, Clone)]
pub(super) struct Queue {
    samples: Box<[i16]>,
    length: usize,
}

impl Queue {
    pub(super) fn new(capacity: usize) -> Self {
        Self { samples: vec![0; capacity].into_boxed_slice(), length: 0 }
    }

    pub(super) const fn len(&self) -> usize {
        self.length
    }

    /// Samples that can still be appended.
    pub(super) fn room(&self) -> usize {
        self.samples.len() - self.length
    }

    /// What is queued.
    pub(super) fn samples(&self) -> &[i16] {
        &self.samples[..self.length]
    }

    /// Lets `write` fill the free end and say how many samples it wrote.
    pub(super) fn append(&mut self, write: impl FnOnce(&mut [i16]) -> usize) -> usize {
        let written = write(&mut self.samples[self.length..]).min(self.room());
        self.length += written;
        written
    }

    /// Lets `edit` change what is queued, in place; it gets all memory and the length, and returns the new length.
    pub(super) fn edit(&mut self, edit: impl FnOnce(&mut [i16], usize) -> usize) {
        self.length = edit(&mut self.samples, self.length).min(self.samples.len());
    }

    /// Moves the front into `out`; what is missing becomes zeros.
    pub(super) fn take(&mut self, out: &mut [i16]) {
        let taken = out.len().min(self.length);
        let (front, missing) = out.split_at_mut(taken);
        front.copy_from_slice(&self.samples[..taken]);
        missing.fill(0);
        self.samples.copy_within(taken..self.length, 0);
        self.length -= taken;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_out_what_was_appended_in_order() {
        let mut queue = Queue::new(8);
        let append = |queue: &mut Queue, samples: &[i16]| {
            queue.append(|free| {
                free[..samples.len()].copy_from_slice(samples);
                samples.len()
            })
        };
        assert_eq!(append(&mut queue, &[1, 2, 3]), 3);
        let mut out = [9; 2];
        queue.take(&mut out);
        assert_eq!(out, [1, 2]);
        append(&mut queue, &[4, 5]);
        assert_eq!((queue.samples(), queue.room()), (&[3, 4, 5][..], 5));
        let mut out = [9; 4];
        queue.take(&mut out);
        assert_eq!((out, queue.len()), ([3, 4, 5, 0], 0));
    }
}
