//! What one run came to.

/// Of a run: what is counted when. A packet belongs to the part in which it was sent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// Not counted: warming up, and waiting for the last packets.
    None = 0,
    /// The window.
    Window = 1,
    /// While browsers connect, all at once.
    Storm = 2,
}

impl Part {
    /// The part with this number.
    pub(crate) const fn of(number: u64) -> Self {
        match number {
            1 => Self::Window,
            2 => Self::Storm,
            _ => Self::None,
        }
    }
}

/// Counts, and delays in nanoseconds.
pub(crate) struct Figures {
    /// The part we are in.
    pub(crate) part: Part,
    window: Counts,
    storm: Counts,
    ignored: Counts,
}

/// Of one part.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) sent: u64,
    /// Packets sent in this part that arrived whole, at any time; where sound is timed, packets that arrived in it.
    pub(crate) received: u64,
    /// Packets of any kind that arrived in this part: what the relay's work is divided by.
    pub(crate) arrived: u64,
    /// Numbers missing in the streams that arrived.
    pub(crate) lost: u64,
    /// Packets that came after one with a higher number.
    pub(crate) reordered: u64,
    /// Packets that were not what they should be: garbled, not authentic, of another payload type.
    pub(crate) wrong: u64,
    /// Marks put into the sound.
    pub(crate) marks: u64,
    delays: Vec<u32>,
    slips: Vec<u32>,
}

impl Figures {
    /// `packets`: as many as the window will see, so that nothing is allocated in it.
    pub(crate) fn new(packets: usize) -> Self {
        let with_room = |room: usize| Counts {
            delays: Vec::with_capacity(room),
            slips: Vec::with_capacity(room),
            ..Counts::default()
        };
        Self { part: Part::None, window: with_room(packets), storm: with_room(packets), ignored: Counts::default() }
    }

    /// Counts of the part we are in.
    pub(crate) fn now(&mut self) -> &mut Counts {
        self.of(self.part)
    }

    /// Counts of a part.
    pub(crate) fn of(&mut self, part: Part) -> &mut Counts {
        match part {
            Part::None => &mut self.ignored,
            Part::Window => &mut self.window,
            Part::Storm => &mut self.storm,
        }
    }

    /// A packet or a mark took so long.
    pub(crate) fn note_delay(&mut self, part: Part, nanoseconds: u32) {
        if part != Part::None {
            self.of(part).delays.push(nanoseconds);
        }
    }

    /// A packet was sent so long after it was due: the generator was held up.
    pub(crate) fn note_slip(&mut self, nanoseconds: u32) {
        if self.part != Part::None {
            self.now().slips.push(nanoseconds);
        }
    }

    /// One line of `name=value` for a part; delays in microseconds.
    pub(crate) fn line(&mut self, part: Part) -> String {
        let Counts { sent, received, arrived, lost, reordered, wrong, marks, ref mut delays, ref mut slips } =
            *self.of(part);
        delays.sort_unstable();
        slips.sort_unstable();
        let [p50, p99, max] = [500, 990, 1_000].map(|rank| percentile_us(delays, rank));
        let [slip_p99, slip_max] = [990, 1_000].map(|rank| percentile_us(slips, rank));
        format!(
            "sent={sent} received={received} arrived={arrived} lost={lost} reordered={reordered} wrong={wrong} \
             marks={marks} delays={} p50={p50:.2} p99={p99:.2} max={max:.2} slip_p99={slip_p99:.2} \
             slip_max={slip_max:.2}",
            delays.len()
        )
    }
}

/// The value that so many of a thousand did not exceed, in microseconds; NaN if there are none.
fn percentile_us(sorted: &[u32], per_mille: usize) -> f64 {
    let rank = (sorted.len() * per_mille).div_ceil(1_000).saturating_sub(1);
    sorted.get(rank).map_or(f64::NAN, |nanoseconds| f64::from(*nanoseconds) / 1e3)
}
