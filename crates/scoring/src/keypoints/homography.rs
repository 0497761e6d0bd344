//! The projection that fits pairs of points best, step by step as OpenCV 4.12's `findHomography` with method 0.
//!
//! A fit by eigenvectors of normalised points, then, where there are more than four pairs, up to ten steps of
//! Levenberg and Marquardt on the distances. All nine elements take part in these, though one of them only scales
//! the others. Sums are taken in OpenCV's order, since the last bits decide whether a last, tiny step is taken: most
//! projections come out equal to the last bit, and the others to ten digits or more.

/// A projection, row by row; the last element is 1 or next to it.
pub type Matrix = [f64; 9];

/// A pair of points: on the template, and in the frame.
pub(super) type Pair = ([f64; 2], [f64; 2]);

/// The steps of refinement at most.
const STEPS: usize = 10;
/// A step or an error smaller than this ends the refinement, and less depth than this is none.
const SMALL: f64 = f32::EPSILON as f64;

/// Fits the projection from the first points to the second; none where one side's points have no extent.
pub(super) fn find(pairs: &[Pair]) -> Option<Matrix> {
    let mut matrix = direct(pairs)?;
    if pairs.len() > 4 {
        refine(&mut matrix, pairs);
        matrix = scaled(&matrix);
    }
    Some(matrix)
}

/// Where a projection takes a point; its horizon is taken to (0, 0).
pub(super) fn project(matrix: &Matrix, [x, y]: [f64; 2]) -> [f64; 2] {
    let [a, b, c, d, e, f, g, h, i] = *matrix;
    let depth = g * x + h * y + i;
    if depth.abs() <= SMALL {
        return [0.0; 2];
    }
    let scale = 1.0 / depth;
    [(a * x + b * y + c) * scale, (d * x + e * y + f) * scale]
}

/// The projection back; all zero where there is none.
pub(super) fn invert(matrix: &Matrix) -> Matrix {
    let [a, b, c, d, e, f, g, h, i] = *matrix;
    let determinant = a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g);
    if determinant == 0.0 {
        return [0.0; 9];
    }
    let scale = 1.0 / determinant;
    let minors = [
        e * i - f * h,
        c * h - b * i,
        b * f - c * e,
        f * g - d * i,
        a * i - c * g,
        c * d - a * f,
        d * h - e * g,
        b * g - a * h,
        a * e - b * d,
    ];
    minors.map(|minor| minor * scale)
}

/// The middle of points and, per axis, one over their mean distance from it.
fn spread(points: impl Iterator<Item = [f64; 2]> + Clone) -> Option<([f64; 2], [f64; 2])> {
    let count = points.clone().count() as f64;
    let mut middle = [0.0; 2];
    let mut scale = [0.0; 2];
    for axis in 0..2 {
        middle[axis] = points.clone().map(|point| point[axis]).sum::<f64>() / count;
        let distances: f64 = points.clone().map(|point| (point[axis] - middle[axis]).abs()).sum();
        // Written so that a distance that is no number ends the fit as well.
        if distances.partial_cmp(&f64::EPSILON).is_none_or(std::cmp::Ordering::is_lt) {
            return None;
        }
        scale[axis] = count / distances;
    }
    Some((middle, scale))
}

/// The fit by the eigenvector of the smallest eigenvalue.
fn direct(pairs: &[Pair]) -> Option<Matrix> {
    let (to_middle, to_scale) = spread(pairs.iter().map(|pair| pair.1))?;
    let (from_middle, from_scale) = spread(pairs.iter().map(|pair| pair.0))?;
    let mut square = [[0.0; 9]; 9];
    for (from, to) in pairs {
        let [from_x, from_y] = [0, 1].map(|axis| (from[axis] - from_middle[axis]) * from_scale[axis]);
        let [to_x, to_y] = [0, 1].map(|axis| (to[axis] - to_middle[axis]) * to_scale[axis]);
        let across = [from_x, from_y, 1.0, 0.0, 0.0, 0.0, -to_x * from_x, -to_x * from_y, -to_x];
        let down = [0.0, 0.0, 0.0, from_x, from_y, 1.0, -to_y * from_x, -to_y * from_y, -to_y];
        for row in 0..9 {
            for column in row..9 {
                square[row][column] += across[row] * across[column] + down[row] * down[column];
            }
        }
    }
    let (_, vectors) = eigen(square);
    let back = [1.0 / to_scale[0], 0.0, to_middle[0], 0.0, 1.0 / to_scale[1], to_middle[1], 0.0, 0.0, 1.0];
    let [x_scale, y_scale] = from_scale;
    let forth =
        [x_scale, 0.0, -from_middle[0] * x_scale, 0.0, y_scale, -from_middle[1] * y_scale, 0.0, 0.0, 1.0];
    let matrix = multiply(&multiply(&back, &vectors[8]), &forth);
    Some(scaled(&matrix))
}

/// The same projection with 1 as its last element, unless that is next to 0.
fn scaled(matrix: &Matrix) -> Matrix {
    let scale = if matrix[8].abs() > SMALL { 1.0 / matrix[8] } else { 1.0 };
    matrix.map(|element| element * scale)
}

fn multiply(left: &Matrix, right: &Matrix) -> Matrix {
    std::array::from_fn(|at| {
        let (row, column) = (at / 3 * 3, at % 3);
        left[row] * right[column] + left[row + 1] * right[column + 3] + left[row + 2] * right[column + 6]
    })
}

/// `sqrt(a² + b²)`, in OpenCV's words.
fn hypotenuse(a: f64, b: f64) -> f64 {
    let (long, short) = if a.abs() > b.abs() { (a.abs(), b.abs()) } else { (b.abs(), a.abs()) };
    if long > 0.0 { long * (1.0 + (short / long) * (short / long)).sqrt() } else { 0.0 }
}

type Square<const N: usize> = [[f64; N]; N];

/// The largest elements of a symmetric matrix, one a row and one a column, as OpenCV keeps them between turns.
struct Pivots<const N: usize> {
    in_row: [usize; N],
    in_column: [usize; N],
}

impl<const N: usize> Pivots<N> {
    fn of(matrix: &Square<N>) -> Self {
        let mut pivots = Self { in_row: [0; N], in_column: [0; N] };
        (0..N).for_each(|index| pivots.update(matrix, index));
        pivots
    }

    fn update(&mut self, matrix: &Square<N>, index: usize) {
        let first_largest = |range: std::ops::Range<usize>, at: &dyn Fn(usize) -> f64| {
            range.reduce(|best, next| if at(best).abs() < at(next).abs() { next } else { best }).unwrap_or(0)
        };
        self.in_row[index] = first_largest(index + 1..N, &|column| matrix[index][column]);
        self.in_column[index] = first_largest(0..index, &|row| matrix[row][index]);
    }

    /// The largest of them all, as (row, column).
    fn largest(&self, matrix: &Square<N>) -> (usize, usize) {
        let rows = (0..N - 1).map(|row| (row, self.in_row[row]));
        let columns = (1..N).map(|column| (self.in_column[column], column));
        let size = |(row, column): (usize, usize)| matrix[row][column].abs();
        rows.chain(columns)
            .reduce(|best, next| if size(best) < size(next) { next } else { best })
            .unwrap_or((0, 0))
    }
}

/// Eigenvalues, largest first, and the eigenvectors as rows, of a symmetric matrix of which only the upper half
/// is read: Jacobi's method, with OpenCV's choice of turns and its end.
fn eigen<const N: usize>(mut matrix: Square<N>) -> ([f64; N], Square<N>) {
    let mut values: [f64; N] = std::array::from_fn(|index| matrix[index][index]);
    let mut vectors: Square<N> =
        std::array::from_fn(|row| std::array::from_fn(|at| f64::from(u8::from(at == row))));
    let mut pivots = Pivots::of(&matrix);
    for _ in 0..N * N * 30 {
        let (k, l) = pivots.largest(&matrix);
        let pivot = matrix[k][l];
        if pivot.abs() <= f64::EPSILON {
            break;
        }
        let half = (values[l] - values[k]) * 0.5;
        let reach = half.abs() + hypotenuse(pivot, half);
        let length = hypotenuse(pivot, reach);
        let sign = if half < 0.0 { -1.0 } else { 1.0 };
        let (cosine, sine) = (reach / length, sign * (pivot / length));
        let shift = sign * ((pivot / reach) * pivot);
        matrix[k][l] = 0.0;
        values[k] -= shift;
        values[l] += shift;
        turn(&mut matrix, (k, l), (cosine, sine));
        (vectors[k], vectors[l]) = turned(&vectors[k], &vectors[l], (cosine, sine));
        pivots.update(&matrix, k);
        pivots.update(&matrix, l);
    }
    sort(&mut values, &mut vectors);
    (values, vectors)
}

fn turned<const N: usize>(k: &[f64; N], l: &[f64; N], (cosine, sine): (f64, f64)) -> ([f64; N], [f64; N]) {
    let first = std::array::from_fn(|at| k[at] * cosine - l[at] * sine);
    (first, std::array::from_fn(|at| k[at] * sine + l[at] * cosine))
}

/// Turns rows and columns `k` and `l` of a symmetric matrix's upper half.
fn turn<const N: usize>(matrix: &mut Square<N>, (k, l): (usize, usize), (cosine, sine): (f64, f64)) {
    for at in (0..N).filter(|&at| at != k && at != l) {
        let first = (at.min(k), at.max(k));
        let second = (at.min(l), at.max(l));
        let (a, b) = (matrix[first.0][first.1], matrix[second.0][second.1]);
        matrix[first.0][first.1] = a * cosine - b * sine;
        matrix[second.0][second.1] = a * sine + b * cosine;
    }
}

fn sort<const N: usize>(values: &mut [f64; N], vectors: &mut Square<N>) {
    for place in 0..N - 1 {
        let largest =
            (place + 1..N).fold(place, |best, next| if values[best] < values[next] { next } else { best });
        values.swap(place, largest);
        vectors.swap(place, largest);
    }
}

/// The number of elements that the refinement changes.
const FREE: usize = 9;

/// What a projection misses by: the square sum, and what a step of refinement is computed from.
struct Misses {
    /// The sum of squares.
    sum: f64,
    /// The largest miss on one axis.
    largest: f64,
    /// The Jacobian's square.
    square: Square<FREE>,
    /// The Jacobian times the misses.
    pull: [f64; FREE],
}

fn misses(matrix: &Matrix, pairs: &[Pair]) -> Misses {
    let slopes_and_misses: Vec<_> = pairs.iter().flat_map(|pair| miss(matrix, pair)).collect();
    let mut all = Misses { sum: 0.0, largest: 0.0, square: [[0.0; FREE]; FREE], pull: [0.0; FREE] };
    for (slopes, miss) in &slopes_and_misses {
        all.sum += miss * miss;
        all.largest = all.largest.max(miss.abs());
        for row in 0..FREE {
            for column in 0..FREE {
                all.square[row][column] += slopes[row] * slopes[column];
            }
        }
    }
    all.pull = std::array::from_fn(|at| {
        in_four_sums(slopes_and_misses.iter().map(|(slopes, miss)| slopes[at] * miss))
    });
    all
}

/// For both axes, how the place of a point changes with each element, and how far it is off, in pixels.
fn miss(matrix: &Matrix, &([x, y], to): &Pair) -> [([f64; FREE], f64); 2] {
    let [a, b, c, d, e, f, g, h, i] = *matrix;
    let depth = g * x + h * y + i;
    let scale = if depth.abs() > f64::EPSILON { 1.0 / depth } else { 0.0 };
    let at = [(a * x + b * y + c) * scale, (d * x + e * y + f) * scale];
    let [u, v] = [x * scale, y * scale];
    let across = [u, v, scale, 0.0, 0.0, 0.0, -u * at[0], -v * at[0], -scale * at[0]];
    let down = [0.0, 0.0, 0.0, u, v, scale, -u * at[1], -v * at[1], -scale * at[1]];
    [(across, at[0] - to[0]), (down, at[1] - to[1])]
}

/// A sum as OpenCV's product of matrices takes it: four sums by turns, what is left over going to the first.
fn in_four_sums(terms: impl ExactSizeIterator<Item = f64>) -> f64 {
    let whole = terms.len() / 4 * 4;
    let mut sums = [0.0; 4];
    for (at, term) in terms.enumerate() {
        sums[if at < whole { at % 4 } else { 0 }] += term;
    }
    sums.iter().sum()
}

/// A product of vectors as OpenCV takes it: four terms are added before they go to the sum.
fn by_fours(left: &[f64; FREE], right: &[f64; FREE]) -> f64 {
    let terms: [f64; FREE] = std::array::from_fn(|at| left[at] * right[at]);
    let (fours, rest) = terms.as_chunks::<4>();
    let sum: f64 = fours.iter().map(|four| four.iter().sum::<f64>()).sum();
    rest.iter().fold(sum, |sum, term| sum + term)
}

/// Eigenvalues below this part of their sum count as 0.
const NOTHING: f64 = 2.0 * f64::EPSILON;

/// Solves a symmetric system by eigenvectors, leaving out directions without weight.
fn solve(square: Square<FREE>, right: &[f64; FREE]) -> [f64; FREE] {
    let (values, vectors) = eigen(square);
    let threshold = values.iter().sum::<f64>() * NOTHING;
    let mut solution = [0.0; FREE];
    for (value, vector) in values.iter().zip(&vectors).filter(|(value, _)| value.abs() > threshold) {
        let part = dot(vector, right) * (1.0 / value);
        for at in 0..FREE {
            solution[at] += part * vector[at];
        }
    }
    solution
}

fn dot(left: &[f64; FREE], right: &[f64; FREE]) -> f64 {
    left.iter().zip(right).map(|(left, right)| left * right).sum()
}

/// The largest element on the diagonal of a symmetric matrix's inverse, or a trifle.
fn largest_of_inverse(square: Square<FREE>) -> f64 {
    (0..FREE)
        .map(|at| {
            let unit = std::array::from_fn(|index| f64::from(u8::from(index == at)));
            solve(square, &unit)[at].abs()
        })
        .fold(f64::EPSILON, f64::max)
}

/// How strongly a step is damped.
struct Damping {
    now: f64,
    /// Below this there is none.
    least: f64,
}

impl Damping {
    /// Adapts to a step that took the sum of squares from `before` to `after`, `foreseen` being the difference
    /// that the step promised.
    fn adapt(&mut self, before: &Misses, after: f64, foreseen: f64, step: &[f64; FREE]) {
        let or_one = |value: f64| if value.abs() > f64::EPSILON { value } else { 1.0 };
        let kept = (before.sum - after) / or_one(foreseen);
        if kept > 0.75 {
            self.now *= 0.5;
            if self.now < self.least {
                self.now = 0.0;
            }
        } else if kept < 0.25 {
            let mut factor =
                ((after - before.sum) / or_one(by_fours(step, &before.pull)) + 2.0).clamp(2.0, 10.0);
            if self.now == 0.0 {
                self.now = 1.0 / largest_of_inverse(before.square);
                self.least = self.now;
                factor *= 0.5;
            }
            self.now *= factor;
        }
    }
}

/// Levenberg and Marquardt's steps.
fn refine(matrix: &mut Matrix, pairs: &[Pair]) {
    let mut here = misses(matrix, pairs);
    let diagonal: [f64; FREE] = std::array::from_fn(|at| here.square[at][at]);
    let mut damping = Damping { now: 1.0, least: 0.75 };
    for _ in 0..STEPS {
        let mut damped = here.square;
        for at in 0..FREE {
            damped[at][at] += damping.now * diagonal[at];
        }
        let step = solve(damped, &here.pull);
        let mut next = *matrix;
        for at in 0..FREE {
            next[at] -= step[at];
        }
        let there = misses(&next, pairs);
        let left = std::array::from_fn(|row| {
            let moved = in_four_sums(here.square[row].iter().zip(&step).map(|(slope, part)| slope * part));
            2.0 * here.pull[row] - moved
        });
        damping.adapt(&here, there.sum, by_fours(&step, &left), &step);
        if there.sum < here.sum {
            here = there;
            *matrix = next;
        }
        let longest = step.iter().fold(0.0_f64, |longest, part| longest.max(part.abs()));
        if longest < SMALL || here.largest < SMALL {
            break;
        }
    }
}
