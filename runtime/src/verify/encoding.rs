//! Signatures as text and back. Strict, so that one signature has one spelling per encoding (but for the case of hexadecimal
//! digits); what is compared is always the bytes.

use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};

use super::algorithm::Encoding;

/// Providers write base64url with padding (Python) and without (JavaScript).
const EITHER_PADDING: GeneralPurpose =
    GeneralPurpose::new(&URL_SAFE, GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent));

impl Encoding {
    /// The bytes, or `None` where the text is not of this encoding.
    pub(super) fn decode(self, text: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Hex => hex_bytes(text),
            Self::Base64 => STANDARD.decode(text).ok(),
            Self::Base64Url => EITHER_PADDING.decode(text).ok(),
            Self::HexInBase64 => hex_bytes(&STANDARD.decode(text).ok()?),
        }
    }

    /// The text.
    pub(super) fn encode(self, bytes: &[u8]) -> String {
        match self {
            Self::Hex => hex::encode(bytes),
            Self::Base64 => STANDARD.encode(bytes),
            Self::Base64Url => EITHER_PADDING.encode(bytes),
            Self::HexInBase64 => STANDARD.encode(hex::encode(bytes)),
        }
    }
}

/// Into a buffer of the right size, where `hex::decode` lets one grow.
fn hex_bytes(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = vec![0; text.len() / 2];
    hex::decode_to_slice(text, &mut bytes).ok().map(|()| bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_encoding_reads_its_own_text() {
        for (encoding, text) in
            [(Encoding::Hex, "fBeF"), (Encoding::Base64, "++8="), (Encoding::Base64Url, "--8="), (Encoding::Base64Url, "--8")]
        {
            assert!(encoding.decode(text.as_bytes()).is_some(), "{text}");
        }
    }

    #[test]
    fn lax_spellings_are_refused() {
        // Not padded, the URL alphabet, white space, bits set after the last byte.
        for text in ["++8", "--8=", "++8=\n", " ++8=", "++9=", "++8=="] {
            assert_eq!(Encoding::Base64.decode(text.as_bytes()), None, "{text}");
        }
        for text in ["abc", "0x12", "zz", "ab cd"] {
            assert_eq!(Encoding::Hex.decode(text.as_bytes()), None, "{text}");
        }
        assert_eq!(Encoding::Base64Url.decode(b"++8="), None);
    }
}
