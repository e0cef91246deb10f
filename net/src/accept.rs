//! Choosing a representation by the `Accept` header (RFC 9110 section 12.5.1).

/// A media type without parameters, such as `("text", "plain")`.
pub(crate) type MediaType = (&'static str, &'static str);

/// The index of the offer that the header likes best; among equals, the one
/// that stands first. `None` if it wants none of them.
///
/// Parameters other than `q` are not compared: whoever asks for one version
/// of a text format is served the one there is.
pub(crate) fn choose(accept: &str, offers: &[MediaType]) -> Option<usize> {
    let ranges: Vec<Range<'_>> = accept.split(',').filter_map(Range::parse).collect();
    let mut best: Option<(usize, f32)> = None;
    for (index, offer) in offers.iter().enumerate() {
        let quality = quality(&ranges, *offer);
        if quality > best.map_or(0.0, |(_, best)| best) {
            best = Some((index, quality));
        }
    }
    best.map(|(index, _)| index)
}

/// What the most specific matching ranges say of an offer. Where several are
/// as specific, for example for several versions, the kindest counts.
fn quality(ranges: &[Range<'_>], offer: MediaType) -> f32 {
    ranges
        .iter()
        .filter_map(|range| Some((range.specificity(offer)?, range.quality)))
        .reduce(|a, b| match a.0.cmp(&b.0) {
            std::cmp::Ordering::Less => b,
            std::cmp::Ordering::Equal => (a.0, a.1.max(b.1)),
            std::cmp::Ordering::Greater => a,
        })
        .map_or(0.0, |(_, quality)| quality)
}

struct Range<'a> {
    kind: &'a str,
    subtype: &'a str,
    quality: f32,
}

impl<'a> Range<'a> {
    /// Reads one element of the list; one that makes no sense is left out.
    fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let (kind, subtype) = parts.next()?.split_once('/')?;
        let quality = parts
            .filter_map(|parameter| parameter.split_once('='))
            .find(|(name, _)| name.trim_end().eq_ignore_ascii_case("q"))
            .map_or(Some(1.0), |(_, value)| value.trim_start().parse().ok())?;
        (0.0..=1.0).contains(&quality).then_some(Self {
            kind,
            subtype,
            quality,
        })
    }

    fn specificity(&self, (kind, subtype): MediaType) -> Option<u8> {
        let same = |a: &str, b: &str| a.eq_ignore_ascii_case(b);
        match (self.kind, self.subtype) {
            ("*", "*") => Some(0),
            (own, "*") if same(own, kind) => Some(1),
            (own, sub) if same(own, kind) && same(sub, subtype) => Some(2),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFFERS: &[MediaType] = &[
        ("application", "json"),
        ("application", "openmetrics-text"),
        ("text", "plain"),
    ];

    #[test]
    fn the_best_liked_offer_is_chosen() {
        let prometheus_2 = "application/openmetrics-text;version=1.0.0;q=0.5,\
            application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
        for (accept, chosen) in [
            ("*/*", Some(0)),
            (browser, Some(0)),
            (prometheus_2, Some(1)),
            ("text/plain", Some(2)),
            ("Text/*", Some(2)),
            ("text/plain;version=0.0.4", Some(2)),
            ("application/*", Some(0)),
            ("application/*, application/json;q=0.1", Some(1)),
            ("text/plain;q=0.4, application/json; Q = 0.3", Some(2)),
            ("application/json;q=0, */*", Some(1)),
            ("image/png", None),
            ("*/*;q=0", None),
            ("", None),
            (
                "nonsense;;=,/,text/plain;q=abc,text/plain;q=NaN,text/plain;q=7",
                None,
            ),
        ] {
            assert_eq!(choose(accept, OFFERS), chosen, "{accept}");
        }
    }
}
