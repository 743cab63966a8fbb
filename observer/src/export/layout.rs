//! Which columns the table has, and how wide they are.

/// From this width on all columns are shown.
const FULL_FROM: usize = 118;
/// Narrowest path and notes: narrower terminals wrap.
const MIN_PATH: usize = 14;
const MIN_NOTES: usize = 10;
/// Width of the path where lines need not fit, as in a file; longer paths push the rest out.
const FILE_PATH: usize = 48;

/// Widths in columns; 0 leaves a column out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) time: usize,
    pub(super) direction: usize,
    pub(super) service: usize,
    pub(super) client: usize,
    pub(super) scheme: usize,
    pub(super) method: usize,
    pub(super) path: usize,
    pub(super) status: usize,
    pub(super) duration: usize,
    pub(super) request: usize,
    pub(super) response: usize,
    /// Authentication and flags, at the end.
    pub(super) notes: usize,
    /// Path and notes are cut at their width.
    pub(super) cut: bool,
}

impl Layout {
    /// For a terminal of `width` columns, or for a file.
    pub(super) fn new(width: Option<usize>) -> Self {
        let full = Self {
            time: 12,
            direction: 3,
            service: 14,
            client: 15,
            scheme: 5,
            method: 7,
            path: FILE_PATH,
            status: 3,
            duration: 8,
            request: 6,
            response: 6,
            notes: 0,
            cut: false,
        };
        let Some(width) = width else { return full };
        let base = if width >= FULL_FROM {
            full
        } else {
            Self {
                time: 8,
                direction: 0,
                service: 10,
                scheme: 0,
                method: 6,
                request: 0,
                ..full
            }
        };
        let rest = width.saturating_sub(base.fixed());
        let notes = (rest / 3).clamp(MIN_NOTES, 24);
        let path = rest.saturating_sub(notes).max(MIN_PATH);
        Self {
            path,
            notes,
            cut: true,
            ..base
        }
    }

    /// Columns that do not depend on the width, each with the space after it, and the space
    /// between path and notes.
    fn fixed(&self) -> usize {
        [
            self.time,
            self.direction,
            self.service,
            self.client,
            self.scheme,
            self.method,
            self.status,
            self.duration,
            self.request,
            self.response,
        ]
        .into_iter()
        .map(|width| if width == 0 { 0 } else { width + 1 })
        .sum::<usize>()
            + 1
    }
}

#[cfg(test)]
mod tests {
    use super::Layout;

    #[test]
    fn a_line_fills_the_terminal_and_no_more() {
        for width in 90..400 {
            let layout = Layout::new(Some(width));
            assert!(
                layout.fixed() + layout.path + layout.notes <= width,
                "{width}"
            );
            assert!(layout.path >= 14, "{width}");
        }
        assert!(!Layout::new(None).cut);
        assert_eq!(Layout::new(Some(80)).scheme, 0);
    }
}
