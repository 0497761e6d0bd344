//! The display matrix: how a clip's pictures are turned before they are shown, as OpenCV's `VideoCapture` does it.

use super::boxes::u32_at;

/// Rows of a, b, u; c, d, v; x, y, w. The last column has 30 bits after the point, the others 16.
type Matrix = [[i32; 3]; 3];

const POINT: [u32; 3] = [16, 16, 30];

/// Quarter turns clockwise, 0 to 3, by the matrices of the track and of the movie, from the content of `tkhd`
/// and `mvhd`.
///
/// Only whole quarter turns count, to the nearest degree, and a mirrored picture stays mirrored: so does OpenCV,
/// and an answer's coordinates are read on OpenCV's pictures.
pub(crate) fn quarter_turns(tkhd: &[u8], mvhd: Option<&[u8]>) -> u8 {
    let long = |body: &[u8]| body.first() == Some(&1);
    let Some(track) = matrix_at(tkhd, if long(tkhd) { 52 } else { 40 }) else { return 0 };
    let movie = mvhd.and_then(|body| matrix_at(body, if long(body) { 48 } else { 36 }));
    turns(movie.map_or(track, |movie| product(track, movie)))
}

fn matrix_at(body: &[u8], at: usize) -> Option<Matrix> {
    let mut matrix = Matrix::default();
    for (number, at) in matrix.iter_mut().flatten().zip((at..).step_by(4)) {
        *number = u32_at(body, at)?.cast_signed();
    }
    Some(matrix)
}

fn product(a: Matrix, b: Matrix) -> Matrix {
    let mut product = Matrix::default();
    for (row, numbers) in product.iter_mut().enumerate() {
        for (column, number) in numbers.iter_mut().enumerate() {
            let terms = (0..3).map(|k| (i64::from(a[row][k]) * i64::from(b[k][column])) >> POINT[k]);
            // Cut off to 32 bits, as the decoder does.
            *number = terms.sum::<i64>() as i32;
        }
    }
    product
}

fn turns([[a, b, _], [c, d, _], _]: Matrix) -> u8 {
    let [a, b, c, d] = [a, b, c, d].map(f64::from);
    // A matrix without an extent along one axis gives no number, and no turn.
    let degrees = (b / b.hypot(d)).atan2(a / a.hypot(c)).to_degrees().round_ties_even();
    match degrees as i32 {
        90 => 1,
        180 | -180 => 2,
        -90 => 3,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: i32 = 1 << 16;

    fn of(a: i32, b: i32, c: i32, d: i32) -> Matrix {
        [[a, b, 0], [c, d, 0], [0, 0, 1 << 30]]
    }

    #[test]
    fn whole_quarter_turns_count_and_nothing_else() {
        for (matrix, expected) in [
            (of(ONE, 0, 0, ONE), 0),
            (of(0, ONE, -ONE, 0), 1),
            (of(-ONE, 0, 0, -ONE), 2),
            (of(0, -ONE, ONE, 0), 3),
            // 45 degrees, no extent at all, and one that is stretched.
            (of(46_341, 46_341, -46_341, 46_341), 0),
            (of(0, 0, 0, 0), 0),
            (of(0, 2 * ONE, -ONE, 0), 1),
        ] {
            assert_eq!(turns(matrix), expected, "{matrix:?}");
        }
    }

    #[test]
    fn the_movie_turns_its_tracks() {
        let quarter = of(0, ONE, -ONE, 0);
        assert_eq!(turns(product(quarter, quarter)), 2);
        assert_eq!(turns(product(quarter, of(ONE, 0, 0, ONE))), 1);
    }

    #[test]
    fn boxes_that_are_too_short_turn_nothing() {
        assert_eq!(quarter_turns(&[0; 75], None), 0);
        assert_eq!(quarter_turns(&[], Some(&[1])), 0);
    }
}
