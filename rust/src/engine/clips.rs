//! Audio files in memory: each is read and decoded once, whoever plays it.
//!
//! Owns the memory that files may take, of those that are being played and of those that may be wanted again. A file
//! that has changed on the disk is read anew; who plays the old one goes on with it.

#![expect(clippy::disallowed_methods, reason = "reading files is what the loader's thread is for")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use crate::dsp::resample::Ends;
use crate::error::MediaError;
use crate::files::{self, Sound};
use crate::pipeline::Clip;

/// Largest file: a quarter of an hour of stereo at 44.1 kHz fits.
const MAX_FILE_BYTES: u64 = 160 * 1024 * 1024;

/// One state of one file.
#[derive(Debug, PartialEq, Eq)]
struct Key {
    path: PathBuf,
    modified: Option<SystemTime>,
    bytes: u64,
    /// Its seam is made for a loop.
    is_looped: bool,
}

struct Entry {
    key: Key,
    clip: Arc<Clip>,
    /// Number of the fetch that wanted it last.
    wanted: u64,
}

/// The files in memory.
pub(super) struct Clips {
    entries: Vec<Entry>,
    limit_bytes: usize,
    fetches: u64,
}

impl Clips {
    /// Holds at most so many bytes of decoded audio.
    pub(super) fn new(limit_bytes: usize) -> Self {
        Self { entries: Vec::new(), limit_bytes, fetches: 0 }
    }

    /// The audio of a file, which is read if it is not here or has changed.
    ///
    /// Fails with `UnplayableSource`, which names the file and the cause, or with `Capacity` if what is being played
    /// leaves no room.
    pub(super) fn fetch(&mut self, path: &Path, is_looped: bool) -> Result<Arc<Clip>, MediaError> {
        let fault = |cause: String| MediaError::UnplayableSource(format!("{}: {cause}", path.display()));
        let metadata = fs::metadata(path).map_err(|error| fault(error.to_string()))?;
        if !metadata.is_file() {
            return Err(fault("not a file".into()));
        }
        let key = Key { path: path.to_owned(), modified: metadata.modified().ok(), bytes: metadata.len(), is_looped };
        self.fetches += 1;
        if let Some(known) = self.entries.iter_mut().find(|entry| entry.key == key) {
            known.wanted = self.fetches;
            return Ok(Arc::clone(&known.clip));
        }
        if key.bytes > MAX_FILE_BYTES {
            return Err(fault(format!("larger than {MAX_FILE_BYTES} bytes")));
        }
        let ends = if is_looped { Ends::Joined } else { Ends::Silent };
        let bytes = fs::read(path).map_err(|error| fault(error.to_string()))?;
        let Sound { narrow, wide } = files::read(&bytes, ends).map_err(|error| fault(error.to_string()))?;
        let clip = Arc::new(Clip { narrow, wide });
        self.make_room(clip.bytes())?;
        self.entries.push(Entry { key, clip: Arc::clone(&clip), wanted: self.fetches });
        Ok(clip)
    }

    /// Forgets what nobody plays, the longest unwanted first, until so many bytes more fit.
    fn make_room(&mut self, bytes: usize) -> Result<(), MediaError> {
        loop {
            let used: usize = self.entries.iter().map(|entry| entry.clip.bytes()).sum();
            if used.saturating_add(bytes) <= self.limit_bytes {
                return Ok(());
            }
            let idle = self.entries.iter().enumerate().filter(|(_, entry)| Arc::strong_count(&entry.clip) == 1);
            let oldest = idle.min_by_key(|(_, entry)| entry.wanted).map(|(place, _)| place);
            self.entries.swap_remove(oldest.ok_or(MediaError::Capacity("memory for audio files"))?);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory that is gone when the test is over.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("trunkline-clips-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        /// A WAV file of so many samples, each of this value.
        fn write(&self, name: &str, samples: u16, value: i16) -> PathBuf {
            let path = self.0.join(name);
            let mut bytes = files::wav_header(8_000, 1, u64::from(samples) * 2).to_vec();
            bytes.extend((0..samples).flat_map(|_| value.to_le_bytes()));
            fs::write(&path, bytes).unwrap();
            path
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    #[test]
    fn a_file_is_read_once_until_it_changes() {
        let folder = Folder::new("change");
        let path = folder.write("music.wav", 100, 5);
        let mut clips = Clips::new(1_000);
        let first = clips.fetch(&path, true).unwrap();
        assert!(Arc::ptr_eq(&first, &clips.fetch(&path, true).unwrap()));
        folder.write("music.wav", 50, 6);
        assert_eq!(clips.fetch(&path, true).unwrap().narrow, [6; 50]);
        assert_eq!(first.narrow, [5; 100], "whoever plays the old one goes on with it");
    }

    #[test]
    fn what_is_played_stays_and_what_was_wanted_longest_ago_goes() {
        let folder = Folder::new("room");
        let [a, b, c] = ["a", "b", "c"].map(|name| folder.write(name, 100, 1));
        let mut clips = Clips::new(400);
        let playing = clips.fetch(&a, false).unwrap();
        drop(clips.fetch(&b, false).unwrap());
        drop(clips.fetch(&c, false).unwrap());
        let kept: Vec<_> = clips.entries.iter().map(|entry| entry.key.path.clone()).collect();
        assert_eq!(kept, [a, c.clone()]);
        let also_playing = clips.fetch(&c, false).unwrap();
        assert_eq!(clips.fetch(&b, false).unwrap_err().kind(), "capacity");
        drop((playing, also_playing));
        assert!(clips.fetch(&b, false).is_ok());
    }

    #[test]
    fn a_refusal_names_the_file_and_the_cause() {
        let folder = Folder::new("refusal");
        let path = folder.0.join("prompt.mp3");
        fs::write(&path, b"ID3 and the rest of it").unwrap();
        let mut clips = Clips::new(1_000);
        let mut refusal = |path: &Path| clips.fetch(path, false).unwrap_err().to_string();
        assert_eq!(refusal(&path), format!("unplayable source: {}: neither WAV nor Ogg Opus", path.display()));
        assert!(refusal(Path::new("/nonexistent.wav")).contains("/nonexistent.wav: No such file"));
        assert!(refusal(&folder.0).ends_with("not a file"));
    }
}
