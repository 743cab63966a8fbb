//! Entry probes for kernels before 5.15, whose probes carry no cookie: one program for each thing
//! that a cookie would say. The library stays without a number.

use aya_ebpf::{macros::uprobe, programs::ProbeContext};
use observer_common::{
    event::{INBOUND, OUTBOUND},
    tls::{COUNT_IN_4TH, COUNT_IN_5TH, COUNT_IN_RESULT, LIBRARY_UNKNOWN, TlsCookie},
};

use crate::tls::try_enter;

macro_rules! enter {
    ($name:ident, $direction:expr, $count:expr) => {
        #[uprobe]
        pub fn $name(ctx: ProbeContext) -> u32 {
            let _ = try_enter(&ctx, TlsCookie::new(LIBRARY_UNKNOWN, $direction, $count));
            0
        }
    };
}

enter!(tls_enter_in_result, INBOUND, COUNT_IN_RESULT);
enter!(tls_enter_in_4th, INBOUND, COUNT_IN_4TH);
enter!(tls_enter_in_5th, INBOUND, COUNT_IN_5TH);
enter!(tls_enter_out_result, OUTBOUND, COUNT_IN_RESULT);
enter!(tls_enter_out_4th, OUTBOUND, COUNT_IN_4TH);
enter!(tls_enter_out_5th, OUTBOUND, COUNT_IN_5TH);
