//! What of a table is asked for, out of an address.

use adit_journal::Find;
use chrono::NaiveDate;
use maud::{Markup, html};
use url::form_urlencoded;

use crate::Miner;

/// Longest value that is looked for, in bytes.
const LONGEST: usize = 512;
const DAY_MS: i64 = 86_400_000;

/// The query of an address.
#[derive(Debug, Clone, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    pub(crate) fn parse(query: &str) -> Self {
        let pairs = form_urlencoded::parse(query.as_bytes()).take(32);
        Self(pairs.map(|(name, value)| (name.into_owned(), value.into_owned())).collect())
    }

    /// A value, where one is given that is not empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(found, _)| found == name).map(|(_, value)| value.trim());
        found.filter(|value| !value.is_empty() && value.len() <= LONGEST)
    }
}

/// What is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    pub(crate) validator: Option<String>,
    pub(crate) outcome: Option<String>,
    /// Days of UTC, both included.
    from: Option<NaiveDate>,
    until: Option<NaiveDate>,
    pub(crate) miner: Option<Miner>,
    /// Older than this entry; of several journals, one each.
    pub(crate) before: Vec<Option<i64>>,
    /// What was not understood, in words.
    pub(crate) mistakes: Vec<String>,
}

impl Filter {
    pub(crate) fn of(query: &Query) -> Self {
        let mut filter = Self {
            validator: query.get("validator").map(str::to_owned),
            outcome: query.get("outcome").map(str::to_owned),
            ..Self::default()
        };
        for (name, place) in [("from", &mut filter.from), ("until", &mut filter.until)] {
            if let Some(text) = query.get(name) {
                match NaiveDate::parse_from_str(text, "%Y-%m-%d") {
                    Ok(date) => *place = Some(date),
                    Err(_) => filter.mistakes.push(format!("{name}: {text} is no date such as 2026-08-21")),
                }
            }
        }
        if let Some(name) = query.get("miner") {
            filter.miner = Miner::named(name);
            if filter.miner.is_none() {
                filter.mistakes.push(format!("miner: there is no {name}"));
            }
        }
        if let Some(text) = query.get("before") {
            let ids: Result<Vec<Option<i64>>, _> = text
                .split('.')
                .map(|id| if id.is_empty() { Ok(None) } else { id.parse().map(Some) })
                .collect();
            match ids {
                Ok(ids) => filter.before = ids,
                Err(_) => filter.mistakes.push(format!("before: {text} is no entry's number")),
            }
        }
        filter
    }

    /// The entries of an event that are meant.
    pub(crate) fn find<'a>(&'a self, event: &'a str) -> Find<'a> {
        let day = |date: NaiveDate| date.and_time(chrono::NaiveTime::MIN).and_utc().timestamp_millis();
        Find {
            who: self.validator.as_deref(),
            outcome: self.outcome.as_deref(),
            from_ms: self.from.map(day),
            until_ms: self.until.map(|date| day(date).saturating_add(DAY_MS)),
            before: self.before.first().copied().flatten(),
            ..Find::event(event)
        }
    }

    /// As the query of an address, without `before`.
    pub(crate) fn query(&self) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        for (name, value) in [
            ("validator", self.validator.clone()),
            ("outcome", self.outcome.clone()),
            ("from", self.from.map(|date| date.to_string())),
            ("until", self.until.map(|date| date.to_string())),
            ("miner", self.miner.map(|miner| miner.name().to_owned())),
        ] {
            if let Some(value) = value {
                query.append_pair(name, &value);
            }
        }
        query.finish()
    }

    /// Where the table is to be had as a file.
    pub(crate) fn exports(&self, path: &str) -> Markup {
        let query = self.query();
        let end = if query.is_empty() { String::new() } else { format!("?{query}") };
        html! {
            p.exports {
                "Export: "
                a href={ (path) ".csv" (end) } download { "CSV" } " · "
                a href={ (path) ".json" (end) } download { "JSON" }
            }
        }
    }

    /// The way to what is older, and back to the newest.
    pub(crate) fn pager(&self, path: &str, older: Option<&str>) -> Markup {
        let query = self.query();
        let and = if query.is_empty() { "" } else { "&" };
        html! {
            @if older.is_some() || !self.before.is_empty() {
                nav.pager aria-label="Pages of the table" {
                    @if !self.before.is_empty() { a #newest href={ (path) "?" (query) } { "Newest" } }
                    @if let Some(older) = older {
                        a #older rel="next" href={ (path) "?" (query) (and) "before=" (older) } { "Older" }
                    }
                }
            }
        }
    }

    /// The form. `outcomes` are offered; `miners` where the table has those of several.
    pub(crate) fn form(&self, path: &str, outcomes: &[&str], validator: bool, miners: bool) -> Markup {
        html! {
            form #filter.filter method="get" action=(path) role="search" aria-label="Filter" {
                @if miners {
                    label { "Miner" select name="miner" {
                        option value="" { "all" }
                        @for miner in Miner::ALL {
                            option value=(miner.name()) selected[self.miner == Some(miner)] { (miner.title()) }
                        }
                    } }
                }
                @if validator {
                    label { "Validator" input type="text" name="validator" value=[self.validator.as_deref()]
                        placeholder="hotkey" autocomplete="off" spellcheck="false"; }
                }
                @if !outcomes.is_empty() {
                    label { "Outcome" select name="outcome" {
                        option value="" { "all" }
                        @for outcome in outcomes {
                            option value=(outcome) selected[self.outcome.as_deref() == Some(outcome)] {
                                (outcome.replace('_', " "))
                            }
                        }
                    } }
                }
                label { "From" input type="date" name="from" value=[self.from.map(|date| date.to_string())]; }
                label { "Until" input type="date" name="until" value=[self.until.map(|date| date.to_string())]; }
                button type="submit" { "Filter" }
                @if !self.query().is_empty() { a.clear href=(path) { "Clear" } }
            }
            @for mistake in &self.mistakes { p.notice.fair role="alert" { (mistake) } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(query: &str) -> Filter {
        Filter::of(&Query::parse(query))
    }

    #[test]
    fn both_days_are_included() {
        let filter = filter("from=1970-01-02&until=1970-01-02&validator=%205F%20&outcome=&before=7");
        let find = filter.find("challenge");
        assert_eq!((find.from_ms, find.until_ms), (Some(DAY_MS), Some(2 * DAY_MS)));
        assert_eq!((find.who, find.outcome, find.before), (Some("5F"), None, Some(7)));
        assert_eq!(filter.query(), "validator=5F&from=1970-01-02&until=1970-01-02");
    }

    #[test]
    fn what_is_not_understood_is_told_and_left_out() {
        let filter = filter("from=yesterday&before=x&miner=gold");
        assert_eq!(filter.mistakes.len(), 3);
        assert_eq!(Filter { mistakes: Vec::new(), ..filter }, Filter::default());
    }
}
