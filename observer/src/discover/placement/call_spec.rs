//! A function that moves plaintext, to be probed where it is defined.

use super::probe_point::{CountIn, PassedOver, TlsCall, TlsDirection};
use crate::discover::elf_image::Function;

/// A function `f(object, buffer, length, …)`.
#[derive(Clone, Debug)]
pub(in crate::discover) struct CallSpec {
    /// Its name, for reports.
    pub(in crate::discover) name: String,
    /// Where it is.
    pub(in crate::discover) function: Function,
    /// How its calls tell what they moved.
    pub(in crate::discover) call: TlsCall,
}

impl CallSpec {
    /// One all of whose calls count.
    pub(in crate::discover) fn new(
        name: &str,
        function: Function,
        direction: TlsDirection,
        count: CountIn,
    ) -> Self {
        Self {
            name: name.to_owned(),
            function,
            call: TlsCall {
                direction,
                count,
                passed_over: PassedOver::None,
            },
        }
    }

    /// The same, but some of its calls do not count.
    pub(in crate::discover) fn passing_over(mut self, passed_over: PassedOver) -> Self {
        self.call.passed_over = passed_over;
        self
    }

    /// How many of its arguments a probe at its entry reads.
    pub(super) fn arguments(&self) -> usize {
        let counted = match self.call.count {
            CountIn::ReturnValue | CountIn::Nothing => 3,
            CountIn::PointerIn4th => 4,
            CountIn::PointerIn5th => 5,
        };
        match self.call.passed_over {
            PassedOver::WithFlags => counted.max(4),
            PassedOver::None | PassedOver::Inside | PassedOver::OtherRecords => counted,
        }
    }
}
