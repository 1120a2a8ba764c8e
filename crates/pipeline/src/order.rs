//! Operations in an order in which each comes after those it takes from.

/// The positions in such an order, by position in the file where there is a choice; or a circle,
/// as positions of which each needs the next and the last needs the first.
pub(crate) fn order(needs: &[Vec<usize>]) -> Result<Vec<usize>, Vec<usize>> {
    let mut seen = vec![Seen::Never; needs.len()];
    let mut ordered = Vec::with_capacity(needs.len());
    for start in 0..needs.len() {
        // The way down to where the search is: a position, and how many of its needs were passed.
        let mut way = vec![(start, 0)];
        while let Some((at, passed)) = way.last_mut() {
            let at = *at;
            if seen[at] == Seen::Done {
                way.pop();
                continue;
            }
            seen[at] = Seen::OnTheWay;
            let Some(next) = needs[at].get(*passed).copied() else {
                seen[at] = Seen::Done;
                ordered.push(at);
                continue;
            };
            *passed += 1;
            if seen[next] == Seen::OnTheWay {
                let circle = way.iter().map(|(at, _)| *at).skip_while(|at| *at != next);
                return Err(circle.collect());
            }
            way.push((next, 0));
        }
    }
    Ok(ordered)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Seen {
    Never,
    OnTheWay,
    Done,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_comes_after_what_it_needs() {
        assert_eq!(order(&[vec![2], vec![], vec![1]]), Ok(vec![1, 2, 0]));
        assert_eq!(order(&[vec![], vec![]]), Ok(vec![0, 1]));
        assert_eq!(order(&[vec![1], vec![2], vec![1]]), Err(vec![1, 2]));
        assert_eq!(order(&[vec![0]]), Err(vec![0]));
    }

    #[test]
    fn a_long_chain_needs_no_deep_stack() {
        let chain: Vec<Vec<usize>> =
            (0..200_000).map(|n| if n == 199_999 { vec![] } else { vec![n + 1] }).collect();
        assert_eq!(order(&chain).unwrap()[0], 199_999);
    }
}
