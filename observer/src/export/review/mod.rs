//! A review of the audit log, for people: text for a terminal, and a page of its own.
//!
//! In: a [`crate::audit::Review`]. Out: text, or HTML that needs nothing else. Never: markup or a
//! control character from the network, a script, or a request to anywhere.

mod page;
mod text;

pub use page::review_page;
pub use text::review_text;

use crate::audit::Review;

/// A time, to the second.
fn moment(ms: u64) -> String {
    let mut out = String::new();
    super::timestamp::push_rfc3339(&mut out, ms.saturating_mul(1_000_000));
    let end = out.len().saturating_sub(".000000000Z".len());
    out.truncate(end);
    out.push('Z');
    out
}

/// `part` of `all`, in percent.
fn percent(part: u64, all: u64) -> String {
    format!("{:.1} %", part as f64 * 100.0 / all.max(1) as f64)
}

/// The state of the log in one sentence.
fn integrity(review: &Review) -> String {
    let report = &review.integrity;
    match report.faults.first() {
        None => {
            let mut said = format!(
                "good: {} records under {} checkpoints, {} not signed yet",
                report.verified.saturating_sub(report.first),
                report.checkpoints,
                report.unanchored
            );
            for witness in &report.witnesses {
                said.push_str(&format!("; {} seen by {}", witness.size, witness.name));
            }
            if report.left_out > 0 {
                said.push_str(&format!("; {} calls left out by rules", report.left_out));
            }
            if report.cut_off > 0 {
                said.push_str(&format!("; {} runs were cut off", report.cut_off));
            }
            said
        }
        Some(fault) => match report.first_bad() {
            Some(index) => format!("BAD from record {index} on: {}", fault.what),
            None => format!("BAD: {}", fault.what),
        },
    }
}

/// Headline numbers.
fn headline(review: &Review) -> [(&'static str, String, bool); 8] {
    let (logins, failed_logins) = review.logins;
    let new = |rows: &[crate::audit::Row]| rows.iter().filter(|row| row.new).count();
    [
        ("calls", review.calls.to_string(), false),
        (
            "failed",
            format!(
                "{} ({})",
                review.failed,
                percent(review.failed, review.calls)
            ),
            false,
        ),
        ("credentials refused", review.refused.to_string(), false),
        ("logins", format!("{logins}, {failed_logins} failed"), false),
        (
            "new services",
            new(&review.services).to_string(),
            new(&review.services) > 0,
        ),
        (
            "new endpoints",
            new(&review.routes).to_string(),
            new(&review.routes) > 0,
        ),
        (
            "findings",
            review
                .rules
                .iter()
                .map(|rule| rule.1)
                .sum::<u64>()
                .to_string(),
            !review.rules.is_empty(),
        ),
        ("records lost", review.lost.to_string(), review.lost > 0),
    ]
}

#[cfg(test)]
mod tests {
    use super::{review_page, review_text};
    use crate::audit::{AuditSettings, Log, Ocsf, Request, Review, Trust, ask};
    use crate::catalog::sample;

    const NOW: u64 = 1_795_342_831_000;

    #[test]
    fn a_review_shows_what_is_new_what_failed_and_who_signed_and_no_markup_of_others() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path();
        let (mut log, _) = Log::open(dir, "host/audit", AuditSettings::default(), NOW).unwrap();
        let mut ocsf = Ocsf::default();
        for n in 0..60_u64 {
            let mut call = sample::call("GET", "/", Some(if n % 4 == 0 { 503 } else { 200 }));
            let old = n < 20;
            // Old ones are two days before the others.
            call.time_unix_ns = (NOW - 1000 - if old { 172_800_000 } else { 0 }) * 1_000_000;
            call.service = Some(
                if old {
                    "known"
                } else {
                    "<script>alert(1)</script>"
                }
                .into(),
            );
            call.route = Some("/v1/x".into());
            let (head, record) = ocsf.call(&call, n);
            log.append(&head, record.as_bytes()).unwrap();
        }
        log.seal(NOW).unwrap();
        drop(log);
        let request = Request::Review {
            reviewer: "A. Person\u{1b}[31m".to_owned(),
            remarks: "fine & good".to_owned(),
        };
        ask(dir, &request).unwrap();
        // Signed at the time of the test, in whatever year that is.
        let far = NOW + 50 * 366 * 86_400_000;
        let later = Review::of(dir, &Trust::default(), None, (NOW - 86_400_000, far)).unwrap();
        assert_eq!(later.events.len(), 1, "the review that was signed");
        assert!(review_text(&later, None).contains(": fine & good"));
        assert!(!review_text(&later, None).contains('\u{1b}'));
        assert!(review_page(&later).contains("fine &amp; good"));
        let review = Review::of(dir, &Trust::default(), None, (NOW - 86_400_000, NOW)).unwrap();
        assert_eq!((review.calls, review.failed), (40, 10));
        assert_eq!(review.services.len(), 1);
        assert!(review.services[0].new && !review.routes[0].new);
        assert!(review.integrity.good());
        assert_eq!(review.steps.iter().map(|step| step.0).sum::<u64>(), 40);
        let page = review_page(&review);
        assert!(page.contains("&lt;script&gt;alert(1)") && !page.contains("<script"));
        assert!(!page.contains("http:") && !page.contains("https:"));
        let text = review_text(&review, Some(80));
        assert!(
            text.lines().all(|line| line.chars().count() <= 80),
            "{text}"
        );
        assert!(text.contains("40") && text.contains("new") && text.contains("good"));
    }
}
