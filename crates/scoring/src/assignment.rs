//! The assignment of least cost, as SciPy's `linear_sum_assignment` finds it (shortest augmenting paths, D. F. Crouse,
//! "On implementing 2D rectangular assignment algorithms", 2016). Where several assignments cost the same, the score can
//! hang on which one is found: so rows, columns and ties are visited in SciPy's order.

/// A matrix of costs, row by row.
#[derive(Debug)]
pub(crate) struct Costs {
    rows: usize,
    columns: usize,
    /// In single precision, as validators fill them.
    values: Vec<f32>,
}

impl Costs {
    pub(crate) fn new(rows: usize, columns: usize, mut cost: impl FnMut(usize, usize) -> f64) -> Self {
        let pairs = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
        let values = pairs.map(|(row, column)| cost(row, column) as f32).collect();
        Self { rows, columns, values }
    }

    fn at(&self, row: usize, column: usize) -> f32 {
        self.values[row * self.columns + column]
    }

    fn turned(&self) -> Self {
        let values = (0..self.columns).flat_map(|column| (0..self.rows).map(move |row| (row, column)));
        let values = values.map(|(row, column)| self.at(row, column)).collect();
        Self { rows: self.columns, columns: self.rows, values }
    }

    /// The costs of the pairs of the cheapest assignment, each row with one column or each column with one row.
    pub(crate) fn cheapest(&self) -> Vec<f32> {
        let turned;
        let costs = if self.columns < self.rows {
            turned = self.turned();
            &turned
        } else {
            self
        };
        let mut search = Search::new(costs);
        for row in 0..costs.rows {
            search.place(row);
        }
        let pairs = search.column_of.iter().enumerate();
        pairs.filter_map(|(row, column)| Some(costs.at(row, (*column)?))).collect()
    }
}

/// Rows that are placed one after the other, with the prices that keep every placed one cheapest.
struct Search<'a> {
    costs: &'a Costs,
    row_price: Vec<f64>,
    column_price: Vec<f64>,
    column_of: Vec<Option<usize>>,
    row_of: Vec<Option<usize>>,
    /// From which row each column was reached last.
    reached_from: Vec<usize>,
    /// Of the search that is under way: the cost of the path to each column.
    path_cost: Vec<f64>,
    row_seen: Vec<bool>,
    column_seen: Vec<bool>,
    /// Columns that are not seen, in SciPy's order, which changes as they are taken out.
    left: Vec<usize>,
}

impl<'a> Search<'a> {
    fn new(costs: &'a Costs) -> Self {
        let Costs { rows, columns, .. } = *costs;
        Self {
            costs,
            row_price: vec![0.0; rows],
            column_price: vec![0.0; columns],
            column_of: vec![None; rows],
            row_of: vec![None; columns],
            reached_from: vec![0; columns],
            path_cost: vec![0.0; columns],
            row_seen: vec![false; rows],
            column_seen: vec![false; columns],
            left: Vec::with_capacity(columns),
        }
    }

    fn place(&mut self, row: usize) {
        let (free_column, cost) = self.shortest_path(row);
        self.row_price[row] += cost;
        for (other, seen) in self.row_seen.iter().enumerate() {
            if let (true, true, Some(column)) = (*seen, other != row, self.column_of[other]) {
                self.row_price[other] += cost - self.path_cost[column];
            }
        }
        for (column, seen) in self.column_seen.iter().enumerate() {
            if *seen {
                self.column_price[column] -= cost - self.path_cost[column];
            }
        }
        // Each row on the path moves to the next column of it.
        let mut column = free_column;
        loop {
            let moving = self.reached_from[column];
            self.row_of[column] = Some(moving);
            match self.column_of[moving].replace(column) {
                Some(before) if moving != row => column = before,
                _ => break,
            }
        }
    }

    /// The cheapest way from a row to a column that nobody has, over rows that could move.
    fn shortest_path(&mut self, from: usize) -> (usize, f64) {
        self.path_cost.fill(f64::INFINITY);
        self.row_seen.fill(false);
        self.column_seen.fill(false);
        self.left.clear();
        self.left.extend((0..self.costs.columns).rev());
        let (mut row, mut cost) = (from, 0.0);
        loop {
            self.row_seen[row] = true;
            let (mut least, mut place) = (f64::INFINITY, 0);
            for (at, &column) in self.left.iter().enumerate() {
                let over_row = cost + f64::from(self.costs.at(row, column))
                    - self.row_price[row]
                    - self.column_price[column];
                if over_row < self.path_cost[column] {
                    self.reached_from[column] = row;
                    self.path_cost[column] = over_row;
                }
                let known = self.path_cost[column];
                // Of several that cost the same, one that ends the search.
                if known < least || (known == least && self.row_of[column].is_none()) {
                    (least, place) = (known, at);
                }
            }
            cost = least;
            let column = self.left.swap_remove(place);
            self.column_seen[column] = true;
            match self.row_of[column] {
                Some(holder) => row = holder,
                None => return (column, cost),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The least sum over all ways to give each row a column of its own.
    fn least(costs: &[Vec<i8>], used: &mut Vec<bool>) -> i32 {
        let Some((row, rest)) = costs.split_first() else { return 0 };
        let mut found = i32::MAX;
        for column in 0..row.len() {
            if !used[column] {
                used[column] = true;
                found = found.min(i32::from(row[column]) + least(rest, used));
                used[column] = false;
            }
        }
        found
    }

    #[test]
    fn no_rows_have_no_pairs() {
        assert!(Costs::new(0, 3, |_, _| 0.0).cheapest().is_empty());
        assert!(Costs::new(3, 0, |_, _| 0.0).cheapest().is_empty());
    }

    proptest! {
        #[test]
        fn the_assignment_is_the_cheapest(
            (rows, columns) in (1_usize..5, 0_usize..3).prop_map(|(rows, more)| (rows, rows + more)),
            values in prop::collection::vec(-9_i8..9, 42),
        ) {
            let costs: Vec<Vec<i8>> =
                (0..rows).map(|row| values[row * columns..][..columns].to_vec()).collect();
            let least = least(&costs, &mut vec![false; columns]);
            let upright = Costs::new(rows, columns, |row, column| costs[row][column].into());
            let turned = Costs::new(columns, rows, |row, column| costs[column][row].into());
            for matrix in [upright, turned] {
                let pairs = matrix.cheapest();
                prop_assert_eq!(pairs.len(), rows);
                prop_assert_eq!(pairs.iter().sum::<f32>(), least as f32);
            }
        }
    }
}
