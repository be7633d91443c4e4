//! Trace files: one delay a packet, as `tests/vectors/jitter/SOURCE.md` describes them.

/// What became of the packets of one stream.
pub struct Trace {
    /// Milliseconds of audio a packet.
    pub ptime_ms: u32,
    /// Delay of each packet beyond the fastest one's, in microseconds; None: it never came.
    pub delays_us: Vec<Option<i64>>,
}

impl Trace {
    /// Reads the text of a file. Panics at anything that is not a trace: this is a bench.
    pub fn parse(text: &str) -> Self {
        let mut delay_us = 0;
        let words = text.lines().filter(|line| !line.starts_with('#')).flat_map(str::split_whitespace);
        let delays_us = words
            .map(|word| {
                (word != "x").then(|| {
                    delay_us += word.parse::<i64>().expect("a difference in tenths of a millisecond") * 100;
                    delay_us
                })
            })
            .collect();
        Self { ptime_ms: 20, delays_us }
    }

    /// When a packet is sent.
    pub fn sent_us(&self, number: usize) -> i64 {
        i64::try_from(number).expect("few packets") * i64::from(self.ptime_ms) * 1_000
    }

    /// (microseconds, packet) in the order of arrival.
    pub fn arrivals(&self) -> Vec<(i64, usize)> {
        let numbered = self.delays_us.iter().enumerate();
        let mut arrivals: Vec<_> =
            numbered.filter_map(|(number, delay)| Some((self.sent_us(number) + (*delay)?, number))).collect();
        arrivals.sort_unstable();
        arrivals
    }
}
