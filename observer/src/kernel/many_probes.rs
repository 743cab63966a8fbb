//! Whether the kernel puts a program on many places with one link (`BPF_TRACE_UPROBE_MULTI`, 6.6 and
//! newer), and the kernel half for those that cannot.
//!
//! One link for all places comes off as fast as one for a single place (a single one waits 20 to 50
//! ms until no processor can be in it, one after the other), and its probes cost less in each run.

use std::borrow::Cow;

use aya::sys::{UProbeMultiFeature, is_uprobe_multi_supported};
use memchr::memmem;

/// What the sections of such programs have in their names, behind the word for the others.
const MANY: &[u8] = b"probe.multi\0";

/// Whether the kernel can.
fn supported() -> bool {
    match is_uprobe_multi_supported(UProbeMultiFeature::LinkCreation) {
        Ok(supported) => supported,
        Err(error) => {
            tracing::debug!(%error, "it is not known whether one link can have many probes");
            false
        }
    }
}

/// The object, with its uprobes as this kernel takes them.
pub(super) fn for_this_kernel(object: &'static [u8]) -> Cow<'static, [u8]> {
    if supported() {
        Cow::Borrowed(object)
    } else {
        Cow::Owned(one_by_one(object))
    }
}

/// The same object, with a link for each place: `uprobe.multi` becomes `uprobe/multi`, which is a
/// uprobe, in a section of its own still: what is told of functions is told by the name of their
/// section.
fn one_by_one(object: &[u8]) -> Vec<u8> {
    let mut object = object.to_vec();
    let places: Vec<usize> = memmem::find_iter(&object, MANY).collect();
    for place in places {
        if let Some(dot) = object.get_mut(place + b"probe".len()) {
            *dot = b'/';
        }
    }
    object
}

#[cfg(test)]
mod tests {
    use object::{Object as _, ObjectSection as _};

    use super::*;
    use crate::kernel::Kernel;

    fn sections(object: &[u8]) -> Vec<String> {
        let file = object::File::parse(object).expect("an object");
        let names = file
            .sections()
            .filter_map(|it| it.name().ok().map(str::to_owned));
        let mut names: Vec<_> = names.filter(|name| !name.starts_with(".rel")).collect();
        names.sort();
        names
    }

    #[test]
    fn probes_one_by_one_are_the_same_programs_in_other_sections() {
        let object = Kernel::object();
        if object.is_empty() {
            eprintln!("SKIPPED: built without the kernel half (no bpf-linker)");
            return;
        }
        let before = sections(object);
        assert!(before.iter().any(|name| name == "uprobe.multi"));
        let other = one_by_one(object);
        let mut renamed: Vec<String> = before
            .iter()
            .map(|name| name.replace(".multi", "/multi"))
            .collect();
        renamed.sort();
        assert_eq!(sections(&other), renamed);
        let mut different = renamed.clone();
        different.dedup();
        assert_eq!(different, renamed, "no two sections of one name");
    }
}
