//! Session keys from a master key and salt.   RFC 3711 section 4.3, RFC 6188 section 3, RFC 7714 section 11.

use super::aes::Aes;
use super::context::Error;

/// Which packets a set of session keys is for; the value is the label of its encryption key (RFC 3711 section 4.3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Usage {
    Rtp = 0,
    Rtcp = 3,
}

/// What is derived, as an offset from the label of the encryption key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Material {
    Encryption = 0,
    Authentication = 1,
    Salt = 2,
}

/// The key derivation function of one master key: AES in counter mode, with a key derivation rate of zero.
pub(super) struct Kdf {
    /// AES-CM as pseudo-random function, keyed as the master key is long (RFC 3711 section 4.3.3, RFC 6188 section 3).
    prf: Aes,
    key_bytes: usize,
    master_salt: [u8; 14],
}

impl Kdf {
    /// `master_key`: 16 or 32 bytes. `master_salt`: 14 bytes; shorter ones (12 for GCM) are padded with zeros behind.
    pub(super) fn new(master_key: &[u8], master_salt: &[u8]) -> Result<Self, Error> {
        let prf = Aes::new(master_key).ok_or(Error::KeyLength)?;
        let mut padded = [0; 14];
        padded.get_mut(..master_salt.len()).ok_or(Error::KeyLength)?.copy_from_slice(master_salt);
        Ok(Self { prf, key_bytes: master_key.len(), master_salt: padded })
    }

    /// Bytes of the master key, and so of each session encryption key.
    pub(super) const fn key_bytes(&self) -> usize {
        self.key_bytes
    }

    /// The session encryption key, scheduled.
    pub(super) fn cipher(&self, usage: Usage) -> Result<Aes, Error> {
        let key: [u8; 32] = self.derive(usage, Material::Encryption);
        key.get(..self.key_bytes).and_then(Aes::new).ok_or(Error::KeyLength)
    }

    /// `N` bytes of one kind of session key.
    pub(super) fn derive<const N: usize>(&self, usage: Usage, material: Material) -> [u8; N] {
        // x = label * 2^48 XOR master_salt, and the counter block is x * 2^16.
        let mut block = [0; 16];
        let (salt, _) = block.split_at_mut(self.master_salt.len());
        salt.copy_from_slice(&self.master_salt);
        block[7] ^= usage as u8 + material as u8;
        let mut derived = [0; N];
        self.prf.keystream(block, &mut derived);
        derived
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::srtp::testing::unhex;

    /// RFC 3711 B.3.
    #[test]
    fn test_rfc3711_b3_key_derivation() {
        let key = 0xE1F9_7A0D_3E01_8BE0_D64F_A32C_06DE_4139_u128.to_be_bytes();
        let salt = 0x0EC6_75AD_498A_FEEB_B696_0B3A_ABE6_u128.to_be_bytes();
        let kdf = Kdf::new(&key, &salt[2..]).unwrap();
        assert_eq!(
            u128::from_be_bytes(kdf.derive(Usage::Rtp, Material::Encryption)),
            0xC61E_7A93_744F_39EE_1073_4AFE_3FF7_A087
        );
        let salt: [u8; 14] = kdf.derive(Usage::Rtp, Material::Salt);
        assert_eq!(salt[..], 0x30CB_BC08_863D_8C85_D49D_B34A_9AE1_u128.to_be_bytes()[2..]);
        let auth: [u8; 94] = kdf.derive(Usage::Rtp, Material::Authentication);
        let expected = [
            0xCEBE_321F_6FF7_716B_6FD4_AB49_AF25_6A15_u128,
            0x6D38_BAA4_8F0A_0ACF_3C34_E235_9E6C_DBCE,
            0xE049_646C_43D9_327A_D175_578E_F722_7098,
            0x6371_C10C_9A36_9AC2_F94A_8C5F_BCDD_DC25,
            0x6D6E_919A_48B6_10EF_17C2_041E_4740_3576,
            0x6B68_642C_59BB_FC2F_34DB_60DB_DFB2_0000,
        ];
        assert_eq!(auth[..], expected.map(u128::to_be_bytes).concat()[..94]);
    }

    #[test]
    fn test_rfc6188_7_2_key_derivation() {
        let key = unhex("f0f04914b513f2763a1b1fa130f10e2998f6f6e43e4309d1e622a0e332b9f1b6");
        let kdf = Kdf::new(&key, &unhex("3b04803de51ee7c96423ab5b78d2")).unwrap();
        assert_eq!(
            kdf.derive::<32>(Usage::Rtp, Material::Encryption)[..],
            unhex("5ba1064e30ec51613cad926c5a28ef731ec7fb397f70a960653caf06554cd8c4")
        );
        assert_eq!(kdf.derive::<14>(Usage::Rtp, Material::Salt)[..], unhex("fa31791685ca444a9e07c6c64e93"));
        assert_eq!(
            kdf.derive::<20>(Usage::Rtp, Material::Authentication)[..],
            unhex("fd9c32d39ed5fbb5a9dc96b30818454d1313dc05")
        );
    }

    #[test]
    fn salts_and_keys_of_other_lengths_are_refused() {
        assert!(Kdf::new(&[0; 16], &[0; 15]).is_err());
        assert!(Kdf::new(&[0; 24], &[0; 14]).is_err());
        assert!(Kdf::new(&[0; 32], &[0; 12]).is_ok());
    }
}
