//! Counts the messages of a gRPC stream by their prefixes (gRPC over HTTP/2, "Length-Prefixed
//! Message"): one octet that says whether it is compressed, four of length.

const PREFIX: u8 = 5;

/// Messages of one direction of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Messages {
    /// Messages begun.
    pub count: u64,
    /// Where they start is not known any more.
    pub lost: bool,
    /// Octets of the prefix at hand.
    prefix: u8,
    length: u32,
    /// Bytes left of the message at hand.
    left: u32,
}

/// The content type is one of gRPC's; gRPC-Web has its own framing.
pub(super) fn is_grpc(content_type: &[u8]) -> bool {
    const NAME: &[u8] = b"application/grpc";
    let Some((name, rest)) = content_type.split_at_checked(NAME.len()) else {
        return false;
    };
    name.eq_ignore_ascii_case(NAME) && matches!(rest.first(), None | Some(b'+' | b';' | b' '))
}

impl Messages {
    pub(super) fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && !self.lost {
            if self.left > 0 {
                let take = bytes.len().min(self.left as usize);
                // Not above `left`.
                self.left -= take as u32;
                bytes = bytes.get(take..).unwrap_or_default();
                continue;
            }
            let Some((&byte, rest)) = bytes.split_first() else {
                return;
            };
            bytes = rest;
            match self.prefix {
                0 => {
                    // The flag is 0 or 1; anything else is not this framing.
                    self.lost = byte > 1;
                    self.length = 0;
                }
                _ => self.length = self.length << 8 | u32::from(byte),
            }
            self.prefix += 1;
            if self.prefix == PREFIX {
                self.prefix = 0;
                self.left = self.length;
                self.count += 1;
            }
        }
    }

    /// So many bytes are missing.
    pub(super) fn pass(&mut self, len: u64) {
        match u64::from(self.left).checked_sub(len) {
            // Not above `left`.
            Some(left) if len > 0 => self.left = left as u32,
            Some(_) => {}
            None => self.lost = true,
        }
    }

    /// How many there were, if that is known.
    pub(super) fn counted(&self) -> Option<u64> {
        (!self.lost).then_some(self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_counted_whatever_the_split() {
        let text = b"\0\0\0\0\x03abc\x01\0\0\0\0\0\0\0\0\x01x";
        for cut in 0..text.len() {
            let mut messages = Messages::default();
            messages.push(&text[..cut]);
            messages.push(&text[cut..]);
            assert_eq!(messages.counted(), Some(3));
        }
    }

    #[test]
    fn missing_bytes_inside_a_message_are_passed_over() {
        let mut messages = Messages::default();
        messages.push(b"\0\0\0\0\x05a");
        messages.pass(4);
        messages.push(b"\0\0\0\0\0");
        assert_eq!(messages.counted(), Some(2));
        messages.pass(1);
        assert_eq!(messages.counted(), None);
    }

    #[test]
    fn content_types_of_grpc_are_told_from_those_of_grpc_web() {
        for (text, expected) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("Application/gRPC;x=y", true),
            ("application/grpc-web+proto", false),
            ("application/json", false),
        ] {
            assert_eq!(is_grpc(text.as_bytes()), expected, "{text}");
        }
    }
}
