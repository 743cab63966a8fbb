//! Which service a call belongs to.

use crate::call::ApiCall;

/// Bytes of a service name; units may be longer, names that people use are not.
pub(super) const MAX_NAME: usize = 64;
/// Digits of a container id that tools show.
const CONTAINER_DIGITS: usize = 12;

/// Writes the name of the call's service into `out`: the systemd unit, else the container by
/// its name or else its id, else the process, else the port of the server, else `unknown`. A scope or a slice is not a service:
/// it only says which session started the process.
pub(super) fn write_name(call: &ApiCall, out: &mut String) {
    out.clear();
    let process = call.process.as_deref();
    let unit = process
        .and_then(|p| p.unit.as_deref())
        .and_then(|unit| unit.strip_suffix(".service"))
        .filter(|unit| !unit.is_empty() && !unit.starts_with("user@"));
    let container = process
        .and_then(|p| p.container.as_deref())
        .filter(|id| !id.is_empty());
    let name = process
        .map(|p| p.name.as_str())
        .filter(|name| !name.is_empty());

    if let Some(unit) = unit {
        push_clean(out, unit, MAX_NAME);
    } else if let Some(name) = process.and_then(|p| p.container_name.as_deref()) {
        push_clean(out, name, MAX_NAME);
    } else if let Some(container) = container {
        push_clean(out, container, CONTAINER_DIGITS);
    } else if let Some(name) = name {
        push_clean(out, name, MAX_NAME);
    } else if let Some(server) = call.server {
        out.push_str("port-");
        out.push_str(&server.port().to_string());
    } else {
        out.push_str("unknown");
    }
}

/// A process may call itself anything; a service name is printable ASCII without braces, which
/// belong to the catalog's own names.
fn push_clean(out: &mut String, text: &str, max: usize) {
    let is_clean = |c: char| c.is_ascii_graphic() && !matches!(c, '{' | '}');
    if text.len() <= max && text.bytes().all(|byte| is_clean(char::from(byte))) {
        out.push_str(text);
        return;
    }
    let clean = |c: char| if is_clean(c) { c } else { '_' };
    out.extend(text.chars().take(max).map(clean));
}
