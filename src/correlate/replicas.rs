//! Which replica of a hop sent a request, where each asks from the address that it is asked at, or names its client.

use hashbrown::HashMap;

use super::candidates::candidates;
use super::node::Node;

/// So many of a hundred requests that a replica got it must have passed on.
const PASSED_ON_PERCENT: usize = 90;
/// Fewer requests of a replica show no such thing.
const FEWEST: usize = 8;
/// Requests that are looked at for whether their own replica was asked for them.
const SAMPLE: usize = 2_048;
/// Of so many in a hundred it must have been, else the addresses are of one process that takes either.
const OWN_PERCENT: usize = 90;

/// Which replica got what a request was sent for, as far as addresses tell.
#[derive(Clone, Debug, Default)]
pub(super) struct Replicas {
    /// The addresses that replicas are asked at, where each asks from its own: nobody else sends what it was asked for.
    hosts: Vec<u64>,
    /// The clients whose requests were captured, where requests name theirs (X-Forwarded-For, X-Real-IP) and some name
    /// others: a replica that was not captured got those.
    clients: Vec<u64>,
}

impl Replicas {
    pub(super) fn learn(above: &[Node], below: &[Node]) -> Self {
        Self { hosts: hosts(above, below), clients: clients(above, below) }
    }

    /// Whether a child may be of this parent, by their addresses.
    pub(super) fn agree(&self, parent: &Node, child: &Node) -> bool {
        (self.hosts.is_empty() || parent.host == child.host)
            && (self.clients.is_empty() || child.client == 0 || parent.client == child.client)
    }

    /// Whether a request came from a replica of which nobody captured what it was asked.
    pub(super) fn is_stranger(&self, child: &Node) -> bool {
        let is_other = |known: &[u64], own: u64| !known.is_empty() && known.binary_search(&own).is_err();
        is_other(&self.hosts, child.host) || child.client != 0 && is_other(&self.clients, child.client)
    }
}

/// The addresses of replicas, sorted; none where nothing shows that they are some.
fn hosts(above: &[Node], below: &[Node]) -> Vec<u64> {
    // By address the requests that it got, and those that it made.
    let mut counts: HashMap<u64, (usize, usize), foldhash::fast::FixedState> = HashMap::default();
    above.iter().for_each(|node| counts.entry(node.host).or_default().0 += 1);
    below.iter().for_each(|node| counts.entry(node.host).or_default().1 += 1);
    let asked = || counts.iter().filter(|(_, (got, _))| *got > 0);
    let passes_on =
        |(_, (got, made)): (_, &(usize, usize))| *got >= FEWEST && made * 100 >= got * PASSED_ON_PERCENT;
    if counts.len() < 2 || !asked().all(passes_on) {
        return Vec::new();
    }
    let mut hosts: Vec<u64> = asked().map(|(host, _)| *host).collect();
    hosts.sort_unstable();
    // Requests come from where one was asked that holds them, and not only from where none was.
    let (told, own) =
        agreeing(above, below, |child| hosts.binary_search(&child.host).is_ok(), |node| node.host);
    if own * 100 >= told * OWN_PERCENT { hosts } else { Vec::new() }
}

/// The clients of parents, sorted; none where children name all of theirs, or somebody else's.
fn clients(above: &[Node], below: &[Node]) -> Vec<u64> {
    let names_one = |child: &&Node| child.client != 0;
    // Behind another proxy, or an address that was translated, what children name need not be who asks here.
    if below.iter().all(|child| child.client == 0) || !above.iter().all(|node| node.is_first_hand) {
        return Vec::new();
    }
    let mut clients: Vec<u64> = above.iter().map(|node| node.client).collect();
    clients.sort_unstable();
    clients.dedup();
    let is_known = |child: &Node| clients.binary_search(&child.client).is_ok();
    if below.iter().filter(names_one).all(is_known) {
        return Vec::new();
    }
    let (told, own) = agreeing(above, below, is_known, |node| node.client);
    if told >= FEWEST && own * 100 >= told * OWN_PERCENT { clients } else { Vec::new() }
}

/// Of a sample of such children as fit below anything: how many there are, and how many fit below a parent of the same
/// address.
fn agreeing(
    above: &[Node],
    below: &[Node],
    counts: impl Fn(&Node) -> bool,
    address: fn(&Node) -> u64,
) -> (usize, usize) {
    let step = below.len().div_ceil(SAMPLE).max(1) as u32;
    let anybody = Replicas::default();
    let all = candidates(above, below, &anybody, |node| node.key, |child| child.is_multiple_of(step));
    let (mut told, mut own) = (0, 0);
    for (row, &child) in all.rows.iter().enumerate() {
        let (child, fitting) = (&below[child as usize], all.fitting.of(row));
        if counts(child) && fitting.len() == all.fits[row] as usize {
            let is_own = |parent: u32| address(&above[parent as usize]) == address(child);
            told += 1;
            own += usize::from(fitting.iter().any(|one| is_own(one.parent)));
        }
    }
    (told, own)
}

#[cfg(test)]
mod tests {
    use crate::analysis::analyse;
    use crate::testing::Script;
    use crate::topology::Overrides;

    const MS: i64 = 1_000_000;

    /// How many requests that a hop makes have the right parent, a wrong one that is called sure, and how many there are.
    /// It is asked at two addresses and asks from `from` of the number of the request.
    fn parents(from: impl Fn(i64) -> i64) -> (usize, usize, usize) {
        let mut script = Script::new("any.pcap");
        let mut truth = Vec::new();
        for n in 0..200 {
            let at = n * 4 * MS;
            let asked = format!("10.0.0.{}:80", 2 + n % 2);
            let user = script.connection(at, &format!("10.0.0.1:{}", 2_000 + n), &asked, 100);
            let client = format!("10.0.0.{}:{}", 2 + from(n), 2_000 + n);
            let asks = script.connection(at + MS, &client, "10.0.0.5:8000", 100);
            script.request(user, at + MS / 2, "GET", "/", &[], "");
            script.request(asks, at + MS + MS / 2, "GET", "/", &[], "");
            script.response(asks, at + 8 * MS + n * 37 % 5 * MS, 200, 20);
            script.response(user, at + 9 * MS + n * 37 % 5 * MS, 200, 20);
            truth.push((client, format!("10.0.0.1:{}", 2_000 + n)));
        }
        let analysis = analyse(vec![script.finish()], &Overrides::default());
        let (mut right, mut wrong, mut all) = (0, 0, 0);
        for exchange in analysis.exchanges() {
            let connection = |id| analysis.exchange(id).connection().inner.client.to_string();
            let Some((_, user)) = truth.iter().find(|(client, _)| *client == connection(exchange.id)) else {
                continue;
            };
            all += 1;
            if let Some(parentage) = analysis.trees.parent(exchange.id) {
                let is_right = connection(parentage.parent) == *user;
                right += usize::from(is_right);
                wrong +=
                    usize::from(!is_right && parentage.confidence != crate::correlate::Confidence::Ambiguous);
            }
        }
        (right, wrong, all)
    }

    #[test]
    fn two_addresses_of_one_process_are_no_replicas() {
        // It takes the one that the server's name gives it, whoever asked.
        let (right, wrong, all) = parents(|n| n / 2 % 2);
        assert!(right * 10 >= all * 9 && wrong * 20 < all, "{right} {wrong} {all}");
        // Replicas ask from their own.
        let (right, wrong, all) = parents(|n| n % 2);
        assert!(right * 10 >= all * 9 && wrong * 20 < all, "{right} {wrong} {all}");
    }

    /// For each user whether what its requests cause was found, by whether their first hop was captured.
    fn linked(forwards: bool, captured: impl Fn(i64) -> bool) -> Vec<(i64, bool)> {
        let mut script = Script::new("any.pcap");
        for n in 0..200i64 {
            let (at, user) = (n * 4 * MS, 1 + n % 2);
            let takes = 9 * MS + n * 37 % 5 * MS;
            let address = format!("10.0.0.{user}");
            // A proxy before this one tells who asks through it.
            let head: &[(&str, &str)] = if forwards { &[("X-Real-IP", &address)] } else { &[] };
            let client = if forwards { "10.0.0.9".to_owned() } else { address.clone() };
            if captured(user) {
                let asked = script.connection(at, &format!("{client}:{}", 2_000 + n), "10.0.1.1:80", 100);
                script.request(asked, at + MS / 2, "GET", "/", head, "");
                script.response(asked, at + takes, 200, 20);
            }
            let asks = script.connection(at + MS, &format!("10.0.2.1:{}", 2_000 + n), "10.0.2.2:8000", 100);
            script.request(asks, at + MS + MS / 2, "GET", "/", &[("X-Real-IP", &address)], "");
            script.response(asks, at + takes - MS, 200, 20);
        }
        let analysis = analyse(vec![script.finish()], &Overrides::default());
        let asks = analysis.exchanges().filter(|x| x.connection().inner.server.port() == 8000);
        let user =
            |x: &crate::analysis::ExchangeView<'_>| 1 + i64::from(x.connection().inner.client.port()) % 2;
        asks.map(|x| (user(&x), analysis.trees.parent(x.id).is_some())).collect()
    }

    #[test]
    fn requests_that_name_a_client_of_whom_nothing_was_captured_are_nobody_elses() {
        let found = linked(false, |user| user == 1);
        assert!(found.iter().all(|&(user, found)| found == (user == 1)), "{found:?}");
        let found = linked(false, |_| true);
        assert!(found.iter().filter(|(_, found)| *found).count() > 180, "{found:?}");
        // Who asks through another proxy is named and seen nowhere.
        let found = linked(true, |_| true);
        assert!(found.iter().filter(|(_, found)| *found).count() > 180, "{found:?}");
    }
}
