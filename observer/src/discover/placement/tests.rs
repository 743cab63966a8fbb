use std::fs::File;

use proptest::prelude::*;

use super::code::fixture::{Fixture, SHIFT};
use super::*;

/// libssl of Debian 12 (OpenSSL 3.0), at its own addresses: `ssl_read_internal` (its beginning),
/// `SSL_read`, `SSL_read_ex`, `ssl_write_internal` (its beginning), `SSL_write`, `SSL_write_ex`,
/// `SSL_free` (its beginning).
fn debian_12() -> Fixture {
    Fixture::default()
        .with(
            0x352d0,
            "4155415455534883ec3864488b042528000000488944242831c048837f30000f842d0100",
        )
        .with(
            0x35470,
            "4883ec1864488b042528000000488944240831c085d2782f4889e14863d2e83dfeffff85c07e038b
             0424488b54240864482b14252800000075444883c41831d231c931f631ffc3e8049ffeff488d15e5
             d40400be4c070000488d3d42cc0400e8dca5feff31c031d2be0f010000bf14000000e8f9a3feffb8
             ffffffffebace8edb0feff",
        )
        .with(
            0x35500,
            "4883ec08e8c7fdffff31d285c00f48c24883c40831d231c931f631ffc3",
        )
        .with(
            0x355e0,
            "41564155415455534883ec3064488b042528000000488944242831c048837f30000f8472",
        )
        .with(
            0x359c0,
            "4883ec1864488b042528000000488944240831c085d2782f4889e14863d2e8fdfbffff85c07e038b
             0424488b54240864482b14252800000075444883c41831d231c931f631ffc3e8b499feff488d1505
             cf0400be46080000488d3df2c60400e88ca0feff31c031d2be0f010000bf14000000e8a99efeffb8
             ffffffffebace89dabfeff",
        )
        .with(
            0x35a50,
            "4883ec08e887fbffff31d285c00f48c24883c40831d231c931f631ffc3",
        )
        .with(0x3b390, "4885ff0f84970300004155b8ffffffff")
}

fn debian_12_symbol(name: &str) -> Option<Function> {
    let (address, size) = match name {
        "SSL_read" => (0x35470, 131),
        "SSL_read_ex" => (0x35500, 29),
        "SSL_write" => (0x359c0, 131),
        "SSL_write_ex" => (0x35a50, 29),
        "SSL_free" => (0x3b390, 937),
        _ => return None,
    };
    Some(Function { address, size })
}

/// How OpenSSL 3.3 and newer come out of a compiler with landing pads: the shared function at 0,
/// `SSL_write` at 0x10 (81 bytes), `SSL_write_ex` at 0x80 (11), `SSL_write_ex2` at 0x90 (25).
fn with_flags_argument() -> Fixture {
    Fixture::default().with(
        0x10_0000,
        "f30f1efa4156554889fdc30f1f440000f30f1efa4883ec1864488b042528000000488944240831c0
         85d278294989e04863d231c9e8c7ffffff85c07e038b0424488b54240864482b142528000000750c
         4883c418c3b8ffffffffebe4e80f00000066662e0f1f8400000000000f1f4000c366662e0f1f8400
         000000000f1f4000f30f1efa4989c831c9eb050f1f440000f30f1efa4883ec08e863ffffff31d285
         c00f48c24883c408c3",
    )
}

fn planned(code: &Fixture, symbol: impl Fn(&str) -> Option<Function>) -> LibraryPlan {
    plan_code(code, "openssl".to_owned(), symbol).expect("a plan")
}

/// Function, address, site and emulation of every point.
fn summary(plan: &LibraryPlan) -> Vec<(&str, u64, Site, bool)> {
    plan.points
        .iter()
        .map(|point| {
            (
                point.function.as_str(),
                point.file_offset + SHIFT,
                point.site,
                point.emulated,
            )
        })
        .collect()
}

fn counts(plan: &LibraryPlan) -> Vec<CountIn> {
    plan.points
        .iter()
        .filter_map(|point| Some(point.call?.count))
        .collect()
}

#[test]
fn openssl_3_0_is_probed_at_the_push_of_its_shared_functions() {
    let plan = planned(&debian_12(), debian_12_symbol);
    assert_eq!(
        summary(&plan),
        [
            ("ssl_read_internal", 0x352d0, Site::Entry, true),
            ("ssl_read_internal", 0x352d0, Site::CallReturn, true),
            ("ssl_write_internal", 0x355e0, Site::Entry, true),
            ("ssl_write_internal", 0x355e0, Site::CallReturn, true),
            ("SSL_free", 0x3b393, Site::Free, true),
        ]
    );
    assert_eq!(counts(&plan), [CountIn::PointerIn4th; 4]);
    assert_eq!(plan.points[0].instruction, "push r13");
    assert_eq!(plan.points[4].instruction, "je 0x3b730");
    assert!(plan.notes.is_empty(), "{:?}", plan.notes);
}

#[test]
fn without_the_ex_functions_branches_around_the_inner_call_are_probed() {
    let symbol = |name: &str| debian_12_symbol(name).filter(|_| !name.ends_with("_ex"));
    let plan = planned(&debian_12(), symbol);
    assert_eq!(
        summary(&plan)[..4],
        [
            ("SSL_read", 0x35470 + 0x16, Site::Entry, true),
            ("SSL_read", 0x35470 + 0x38, Site::Return, true),
            ("SSL_write", 0x359c0 + 0x16, Site::Entry, true),
            ("SSL_write", 0x359c0 + 0x38, Site::Return, true),
        ]
    );
    assert_eq!(counts(&plan), [CountIn::ReturnValue; 4]);
}

#[test]
fn the_flags_argument_moves_the_count_to_the_fifth_place() {
    let base = 0x10_0000;
    let code = with_flags_argument();
    let shared = shared_function::find(
        &code,
        Function {
            address: base + 0x10,
            size: 81,
        },
        Function {
            address: base + 0x80,
            size: 11,
        },
    )
    .expect("a shared function");
    assert_eq!((shared.target, shared.count), (base, CountIn::PointerIn5th));

    let call = TlsCall {
        direction: TlsDirection::Outbound,
        count: shared.count,
        passed_over: PassedOver::None,
    };
    let points = shared_points(&code, "ssl_write_internal", shared.target, call).expect("points");
    // Past the landing pad, where the stack pointer is still as the caller left it.
    assert!(
        points
            .iter()
            .all(|point| point.file_offset + SHIFT == base + 4 && point.emulated)
    );
    assert_eq!(points[1].site, Site::CallReturn);
}

#[test]
fn a_function_that_moves_bytes_through_a_pointer_is_probed_itself() {
    // push rbp; mov rbp,rsp; call helper; mov rax,[rdi+8]; call [rax+0x38]; pop rbp; ret. The `_ex`
    // one is the same code: the helper is shared, but bytes do not go through it.
    let body = "554889e5 e8f7000000 488b4708 ff5038 5d c3";
    let code = Fixture::default()
        .with(0x2000, body)
        .with(0x3000, body)
        .with(0x4000, body);
    let symbol = |name: &str| {
        let address = match name {
            "SSL_read" | "SSL_write" => 0x2000,
            "SSL_read_ex" => 0x3000,
            "SSL_write_ex" => 0x4000,
            _ => return None,
        };
        Some(Function { address, size: 18 })
    };
    let plan = planned(&code, symbol);
    assert_eq!(
        summary(&plan)[..4],
        [
            ("SSL_read", 0x2000, Site::Entry, true),
            ("SSL_read", 0x2000, Site::CallReturn, true),
            ("SSL_read_ex", 0x3000, Site::Entry, true),
            ("SSL_read_ex", 0x3000, Site::CallReturn, true),
        ]
    );
    assert_eq!(
        plan.points[2].call.expect("a call").count,
        CountIn::PointerIn4th
    );
}

#[test]
fn an_ex_function_that_forwards_to_the_plain_one_is_left_out() {
    // SSL_read at 0x2000: endbr64; push rbx; mov rbx,rdi; pop rbx; ret.
    // SSL_read_ex at 0x2010: push rbx; mov rbx,rcx; call SSL_read; mov [rbx],rax; pop rbx; ret.
    let code = Fixture::default()
        .with(0x2000, "f30f1efa 53 4889fb 5b c3 909090909090")
        .with(0x2010, "53 4889cb e8e7ffffff 488903 5b c3");
    let symbol = |name: &str| match name {
        "SSL_read" | "SSL_write" => Some(Function {
            address: 0x2000,
            size: 10,
        }),
        "SSL_read_ex" => Some(Function {
            address: 0x2010,
            size: 14,
        }),
        _ => None,
    };
    let plan = planned(&code, symbol);
    assert_eq!(
        summary(&plan),
        [
            ("SSL_read", 0x2004, Site::Entry, true),
            ("SSL_read", 0x2004, Site::CallReturn, true),
            ("SSL_write", 0x2004, Site::Entry, true),
            ("SSL_write", 0x2004, Site::CallReturn, true),
        ]
    );
}

#[test]
fn forwarding_through_a_linker_stub_is_recognised() {
    // 0x2020: endbr64; jmp [rip+0x1000], the slot of SSL_read; SSL_read_ex jumps there.
    let mut code = Fixture::default()
        .with(0x2000, "55 5d c3")
        .with(0x2010, "55 5d eb0c")
        .with(0x2020, "f30f1efa ff2500100000");
    code.imports.push((0x302a, "SSL_read"));
    let symbol = |name: &str| match name {
        "SSL_read" | "SSL_write" => Some(Function {
            address: 0x2000,
            size: 3,
        }),
        "SSL_read_ex" => Some(Function {
            address: 0x2010,
            size: 4,
        }),
        _ => None,
    };
    let plan = planned(&code, symbol);
    assert!(
        plan.points
            .iter()
            .all(|point| point.function != "SSL_read_ex")
    );
}

#[test]
fn without_a_cheap_place_the_function_start_is_probed_and_a_note_says_so() {
    // mov eax,esi; xor edx,edx; mov edi,eax; ret: the arguments are gone before any branch.
    let code = Fixture::default().with(0x2000, "89f0 31d2 89c7 c3");
    let plan = planned(&code, |name| {
        matches!(name, "SSL_read" | "SSL_write").then_some(Function {
            address: 0x2000,
            size: 7,
        })
    });
    assert_eq!(
        summary(&plan)[..2],
        [
            ("SSL_read", 0x2000, Site::Entry, false),
            ("SSL_read", 0x2000, Site::CallReturn, false)
        ]
    );
    assert!(
        plan.notes
            .iter()
            .any(|note| note.contains("single-stepped")),
        "{:?}",
        plan.notes
    );
}

#[test]
fn a_branch_is_no_place_for_the_result_if_a_path_goes_around_it() {
    // test edx,edx; js +3; call +0; (js target) ret — and: one `ret` before the branch.
    let code = Fixture::default().with(0x2000, "85d2 7801 c3 e800000000 7500 c3");
    let flow = Flow::of(
        &code,
        Function {
            address: 0x2000,
            size: 13,
        },
    );
    assert!(flow.whole);
    assert_eq!(places::result(&flow), None);
}

#[test]
fn a_branch_is_no_place_for_the_result_if_the_result_comes_later() {
    // call next; jne +0; mov eax,r12d; ret
    let code = Fixture::default().with(0x2000, "e800000000 7500 4489e0 c3");
    let flow = Flow::of(
        &code,
        Function {
            address: 0x2000,
            size: 11,
        },
    );
    assert_eq!(places::result(&flow), None);
}

#[test]
fn a_loop_is_no_place_for_an_entry() {
    // nop4; (loop head) push rax; pop rax; jne -4; ret
    let code = Fixture::default().with(0x2000, "0f1f4000 50 58 75fc c3");
    let flow = Flow::of(
        &code,
        Function {
            address: 0x2000,
            size: 9,
        },
    );
    // Single-stepped, but passed once a call.
    assert_eq!(places::entry(&flow, &ARGUMENTS), Some(0x2000));
}

/// `s2n_recv` of a build whose instructions are padded with prefixes, in short.
#[test]
fn where_the_kernel_takes_no_probe_on_the_beginning_the_next_place_and_each_ret_do() {
    // cs push r12; cs push rbx; sub rsp, 8; test rdi, rdi; je to the second ret; call; add; pop;
    // pop; ret; add; pop; pop; ret
    let code = Fixture::default().with(
        0x2000,
        "2e4154 2e53 4883ec08 4885ff 740d e800000000 4883c408 5b 415c c3 4883c408 5b 415c c3",
    );
    let function = Function {
        address: 0x2000,
        size: 35,
    };
    let spec = CallSpec::new(
        "s2n_recv",
        function,
        TlsDirection::Inbound,
        CountIn::ReturnValue,
    );
    let points = call_points(&code, &[spec]).expect("places");
    let places: Vec<_> = points
        .iter()
        .map(|point| (point.file_offset + SHIFT, point.site, point.emulated))
        .collect();
    assert_eq!(
        places,
        [
            (0x200c, Site::Entry, true),
            (0x201a, Site::Return, false),
            (0x2022, Site::Return, false),
        ]
    );
}

#[test]
fn overlapping_instructions_are_not_trusted() {
    // jne into the middle of the following mov.
    let code = Fixture::default().with(0x2000, "7501 b890909090 7500 c3");
    let flow = Flow::of(
        &code,
        Function {
            address: 0x2000,
            size: 10,
        },
    );
    assert!(!flow.whole);
    assert_eq!(places::result(&flow), None);
}

#[test]
fn a_symbol_outside_the_code_is_refused() {
    let outcome = plan_code(&debian_12(), String::new(), |_| {
        Some(Function {
            address: 0x99,
            size: 9,
        })
    });
    assert!(
        matches!(outcome, Err(PlacementError::NoCode(ref name)) if name == "SSL_read"),
        "{outcome:?}"
    );
}

/// Every point of a plan for a real file decodes as the plan says, in the file's own bytes.
fn check_real(path: &str) -> Option<LibraryPlan> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) => {
            println!("skipped: {path}: {error}");
            return None;
        }
    };
    let image = ElfImage::open(&file).expect("an ELF file");
    let plan = match plan(&image, "openssl".to_owned()) {
        Ok(plan) => plan,
        Err(error) => {
            println!("skipped: {path}: {error}");
            return None;
        }
    };
    for point in &plan.points {
        let bytes = image.bytes_at(point.file_offset, LONGEST_INSTRUCTION);
        let address = point.file_offset;
        let instruction = decode(&bytes, address).expect("an instruction");
        assert_eq!(
            emulated(&bytes, instruction.len()),
            point.emulated,
            "{point:?}"
        );
        println!("{path}: {point:?}");
    }
    println!("{path}: {:?}", plan.notes);
    Some(plan)
}

#[test]
fn the_libssl_of_this_machine_has_reads_and_writes_that_are_emulated() {
    for path in [
        "/usr/lib/x86_64-linux-gnu/libssl.so.3",
        "/usr/lib64/libssl.so.3",
    ] {
        if let Some(plan) = check_real(path) {
            let entries = plan.points.iter().filter(|point| point.site == Site::Entry);
            assert!(entries.clone().count() >= 2);
            assert!(
                entries.clone().all(|point| point.emulated),
                "{:?}",
                plan.points
            );
        }
    }
}

#[test]
fn a_node_executable_with_its_own_openssl_has_a_plan() {
    if let Some(plan) = check_real("/usr/bin/node") {
        assert!(plan.points.iter().any(|point| point.function == "SSL_read"));
        assert!(
            plan.points
                .iter()
                .any(|point| point.function == "SSL_write")
        );
    }
}

proptest! {
    #[test]
    fn any_code_gives_points_inside_it_or_none(bytes in proptest::collection::vec(any::<u8>(), 1..400)) {
        let end = 0x2000 + bytes.len() as u64;
        let code = Fixture { stretches: vec![(0x2000, bytes)], imports: Vec::new() };
        let half = (end - 0x2000) / 2;
        let outcome = plan_code(&code, String::new(), |name| {
            let address = if name.ends_with("_ex") { 0x2000 + half } else { 0x2000 };
            Some(Function { address, size: half })
        });
        if let Ok(plan) = outcome {
            for point in plan.points {
                prop_assert!(point.file_offset + SHIFT >= 0x2000 && point.file_offset + SHIFT < end);
            }
        }
    }
}
