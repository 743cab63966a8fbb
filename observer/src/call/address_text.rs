//! Addresses as text, for names that every call needs.

use std::net::Ipv4Addr;

/// Writes an address as its `Display` does, without what makes that slow.
pub fn write_ip_v4(address: Ipv4Addr, out: &mut String) {
    for (at, octet) in address.octets().into_iter().enumerate() {
        if at > 0 {
            out.push('.');
        }
        for (least, unit) in [(100, 100), (10, 10), (0, 1)] {
            if octet >= least {
                out.push(char::from(b'0' + octet / unit % 10));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::write_ip_v4;

    #[test]
    fn an_address_is_written_as_the_standard_library_does() {
        for octet in 0..=255_u8 {
            for address in [[octet; 4], [0, octet, 255, 10]] {
                let address = Ipv4Addr::from(address);
                let mut text = "at ".to_owned();
                write_ip_v4(address, &mut text);
                assert_eq!(text, format!("at {address}"));
            }
        }
    }
}
