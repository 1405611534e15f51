//! Pictures as data: rectangles, lines and words with their places.

pub(super) mod bars;
pub(super) mod maps;
pub(super) mod schedule;

/// Width of every picture.
pub(super) const WIDTH: f64 = 960.0;

/// One picture. Everything lies between 0 and its width and height.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Picture {
    /// What it shows, for those who cannot see it.
    pub label: String,
    /// Its width.
    pub width: f64,
    /// Its height.
    pub height: f64,
    /// Rectangles, those of one look together; later ones cover earlier ones.
    pub layers: Vec<Layer>,
    /// Lines behind the rectangles.
    pub grid: Vec<Line>,
    /// Lines before them.
    pub lines: Vec<Line>,
    /// Words.
    pub words: Vec<Word>,
}

/// Rectangles that look alike.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Layer {
    /// Their look.
    pub class: &'static str,
    /// The rectangles.
    pub rects: Vec<Rect>,
}

/// A rectangle.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Rect {
    pub x: f64,
    pub y: f64,
    pub width: f64,
    pub height: f64,
    /// What it says of itself when pointed at.
    pub title: Option<String>,
}

/// A line.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Line {
    pub class: &'static str,
    pub from: (f64, f64),
    pub to: (f64, f64),
}

/// A word.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Word {
    /// `start`, `middle` or `end`, and how it looks.
    pub class: &'static str,
    pub x: f64,
    /// The baseline.
    pub y: f64,
    pub text: String,
}

impl Picture {
    fn new(label: impl Into<String>, height: f64) -> Self {
        Picture {
            label: label.into(),
            width: WIDTH,
            height: round(height),
            layers: Vec::new(),
            grid: Vec::new(),
            lines: Vec::new(),
            words: Vec::new(),
        }
    }

    /// Adds a rectangle, cut to the picture.
    fn rect(&mut self, class: &'static str, x: (f64, f64), y: f64, height: f64) -> &mut Rect {
        let (from, to) = (x.0.clamp(0.0, self.width), x.1.clamp(0.0, self.width));
        let layer = match self.layers.iter().position(|l| l.class == class) {
            Some(index) => &mut self.layers[index],
            None => {
                self.layers.push(Layer {
                    class,
                    rects: Vec::new(),
                });
                let last = self.layers.len() - 1;
                &mut self.layers[last]
            }
        };
        let x = round(from);
        layer.rects.push(Rect {
            x,
            y: round(y),
            width: round(round(to) - x),
            height: round(height),
            title: None,
        });
        let last = layer.rects.len() - 1;
        &mut layer.rects[last]
    }

    fn line(&mut self, class: &'static str, from: (f64, f64), to: (f64, f64)) {
        self.lines.push(Line::new(class, from, to));
    }

    fn grid(&mut self, from: (f64, f64), to: (f64, f64)) {
        self.grid.push(Line::new("grid", from, to));
    }

    fn word(&mut self, class: &'static str, x: f64, y: f64, text: impl Into<String>) {
        self.words.push(Word {
            class,
            x: round(x),
            y: round(y),
            text: text.into(),
        });
    }
}

impl Line {
    fn new(class: &'static str, from: (f64, f64), to: (f64, f64)) -> Self {
        let round = |(x, y)| (round(x), round(y));
        Line {
            class,
            from: round(from),
            to: round(to),
        }
    }
}

/// Hundredths: nobody sees more, and files stay small.
fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0 + 0.0
}

/// From values to places along x.
#[derive(Clone, Copy, Debug)]
struct Scale {
    from: f64,
    per_unit: f64,
    left: f64,
    to: f64,
}

impl Scale {
    fn new(values: (f64, f64), places: (f64, f64)) -> Self {
        let range = values.1 - values.0;
        let per_unit = if range > 0.0 {
            (places.1 - places.0) / range
        } else {
            0.0
        };
        Scale {
            from: values.0,
            per_unit,
            left: places.0,
            to: values.1,
        }
    }

    fn at(&self, value: f64) -> f64 {
        self.left + (value - self.from) * self.per_unit
    }

    /// Round values, at most `most` of them.
    fn ticks(&self, most: f64) -> Vec<f64> {
        let range = self.to - self.from;
        if range.is_nan() || range <= 0.0 {
            return Vec::new();
        }
        let mut step = 0.1;
        let mut factors = [2.0, 2.5, 2.0].iter().cycle();
        while range / step > most {
            step *= factors.next().unwrap_or(&10.0);
        }
        let first = (self.from / step).ceil() as i64;
        let last = (self.to / step).floor() as i64;
        (first..=last).map(|i| i as f64 * step).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round() {
        let ticks = |from, to| Scale::new((from, to), (0.0, 100.0)).ticks(5.0);
        assert_eq!(ticks(-1.3, 6.2), [0.0, 2.0, 4.0, 6.0]);
        assert_eq!(ticks(0.0, 26.0), [0.0, 10.0, 20.0]);
        assert!(ticks(3.0, 3.0).is_empty());
    }
}
