//! Visits every state that can be reached, breadth first, so that a counterexample is as short as can be.
//!
//! Own code rather than a library's: what must be shown is that from *every* state all that waits can still be
//! delivered without the help of another fault. That needs the graph backwards, which the model checker of the
//! field does not offer (its `eventually` is documented to miss what happens on a cycle or a path that was met
//! before), and it would bring nine crates and a web server along.

use std::collections::HashMap;
use std::collections::VecDeque;

use super::state::State;
use super::steps::{Step, Steps};

/// What was found.
pub(crate) struct Explored {
    pub(crate) states: usize,
    /// What is wrong, with the steps that led to it.
    pub(crate) problem: Option<(&'static str, Vec<Step>)>,
}

struct Graph {
    numbers: HashMap<State, u32>,
    /// From where and by which step a state was first reached.
    origins: Vec<Option<(u32, Step)>>,
    /// From where a state is reached by steps that are no fault.
    back: Vec<Vec<u32>>,
    goals: Vec<u32>,
}

/// Explores everything from `first` on.
pub(crate) fn explore(first: State, steps: &Steps) -> Explored {
    let mut graph = Graph {
        numbers: HashMap::new(),
        origins: Vec::new(),
        back: Vec::new(),
        goals: Vec::new(),
    };
    let mut queue = VecDeque::new();
    graph.number(&first, None);
    queue.push_back((0, first));
    while let Some((from, state)) = queue.pop_front() {
        if let Some(problem) = state.problem() {
            return graph.found(problem, from);
        }
        if state.is_over() {
            graph.goals.push(from);
        }
        for (step, next) in steps.from(&state) {
            let known = graph.origins.len();
            let to = graph.number(&next, Some((from, step)));
            if !step.is_fault() {
                graph.back[to as usize].push(from);
            }
            if to as usize == known {
                queue.push_back((to, next));
            }
        }
    }
    match graph.stuck() {
        Some(state) => graph.found("what waits is never delivered", state),
        None => Explored {
            states: graph.origins.len(),
            problem: None,
        },
    }
}

impl Graph {
    fn number(&mut self, state: &State, origin: Option<(u32, Step)>) -> u32 {
        if let Some(number) = self.numbers.get(state) {
            return *number;
        }
        let number = u32::try_from(self.origins.len()).expect("fewer than four billion states");
        self.numbers.insert(state.clone(), number);
        self.origins.push(origin);
        self.back.push(Vec::new());
        number
    }

    /// The first state from which no state is reached where all is delivered.
    fn stuck(&self) -> Option<u32> {
        let mut good = vec![false; self.origins.len()];
        let mut queue = self.goals.clone();
        while let Some(state) = queue.pop() {
            if !std::mem::replace(&mut good[state as usize], true) {
                queue.extend(&self.back[state as usize]);
            }
        }
        good.iter()
            .position(|good| !good)
            .and_then(|state| u32::try_from(state).ok())
    }

    fn found(&self, problem: &'static str, mut at: u32) -> Explored {
        let mut steps = Vec::new();
        while let Some((from, step)) = self.origins[at as usize] {
            steps.push(step);
            at = from;
        }
        steps.reverse();
        Explored {
            states: self.origins.len(),
            problem: Some((problem, steps)),
        }
    }
}
