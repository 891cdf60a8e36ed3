//! A chart: panels side by side with a line for each system, on the same axes, under one legend.

use std::error::Error;
use std::path::Path;

use plotters::coord::Shift;
use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::*;

/// Pixels.
const PANEL: (u32, u32) = (400, 320);
const HEAD: u32 = 88;

const INK: RGBColor = RGBColor(40, 40, 40);
const PALE: RGBColor = RGBColor(110, 110, 110);
const GRID: RGBColor = RGBColor(222, 222, 222);
const FINE_GRID: RGBColor = RGBColor(243, 243, 243);

/// What stands on the upright axis.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Axis {
    /// Nanoseconds, on a logarithmic scale.
    Time,
    /// Bytes, from zero.
    Bytes,
}

/// One system's figures.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) system: String,
    /// Where they were measured, and what they are.
    pub(crate) points: Vec<(f64, f64)>,
}

#[derive(Debug)]
pub(crate) struct Panel {
    pub(crate) title: String,
    pub(crate) lines: Vec<Line>,
}

#[derive(Debug)]
pub(crate) struct Chart {
    pub(crate) title: String,
    /// What stands on the level axis, on a logarithmic scale.
    pub(crate) across: &'static str,
    pub(crate) up: Axis,
    pub(crate) panels: Vec<Panel>,
}

/// Systems in the order of the legend, each with a colour of its own (told apart by the colour-blind).
const COLOURS: [(&str, RGBColor); 5] = [
    ("highwater", RGBColor(0, 114, 178)),
    ("imbl", RGBColor(230, 159, 0)),
    ("im", RGBColor(213, 94, 0)),
    ("std", RGBColor(0, 158, 115)),
    ("go-memdb", RGBColor(204, 121, 167)),
];

fn colour(system: &str) -> RGBColor {
    COLOURS
        .iter()
        .find(|(name, _)| *name == system)
        .map_or(RGBColor(120, 120, 120), |(_, colour)| *colour)
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

impl Chart {
    /// Draws it as SVG.
    pub(crate) fn draw(&self, file: &Path) -> Result<(), Box<dyn Error>> {
        let count = u32::try_from(self.panels.len())?;
        // A single panel is wider: the legend has to fit above it.
        let width = (PANEL.0 * count).max(640);
        let root = SVGBackend::new(file, (width, HEAD + PANEL.1)).into_drawing_area();
        root.fill(&WHITE)?;
        let (head, body) = root.split_vertically(HEAD);
        self.draw_head(&head)?;
        let (across, up) = (self.range(|it| it.0), self.range(|it| it.1));
        // Room beside the outermost points.
        let across = (across.0 / 1.5..across.1 * 1.5).log_scale();
        for (panel, area) in self
            .panels
            .iter()
            .zip(body.split_evenly((1, self.panels.len())))
        {
            match self.up {
                Axis::Time => {
                    let up = (up.0 / 1.6..up.1 * 1.6).log_scale();
                    self.draw_panel(panel, &area, across.clone(), up)?;
                }
                Axis::Bytes => {
                    self.draw_panel(panel, &area, across.clone(), 0.0..up.1 * 1.1)?;
                }
            }
        }
        root.present()?;
        Ok(())
    }

    fn lines(&self) -> impl Iterator<Item = &Line> {
        self.panels.iter().flat_map(|panel| &panel.lines)
    }

    /// The smallest and the largest of all panels.
    fn range(&self, of: fn(&(f64, f64)) -> f64) -> (f64, f64) {
        self.lines()
            .flat_map(|line| &line.points)
            .map(of)
            .fold((f64::INFINITY, 0.0), |(low, high), it| {
                (low.min(it), high.max(it))
            })
    }

    fn draw_head(&self, area: &Area<'_>) -> Result<(), Box<dyn Error>> {
        let title = ("sans-serif", 19).into_font().color(&INK);
        area.draw(&Text::new(self.title.clone(), (16, 12), title))?;
        let note = ("sans-serif", 13).into_font().color(&PALE);
        let scales = match self.up {
            Axis::Time => "Lower is better. Both scales are logarithmic.",
            Axis::Bytes => "Lower is better. The number of records is on a logarithmic scale.",
        };
        area.draw(&Text::new(scales, (16, 38), note))?;
        let name = ("sans-serif", 14).into_font().color(&INK);
        let mut x = 16;
        for (system, colour) in COLOURS {
            if self.lines().all(|line| line.system != system) {
                continue;
            }
            let stroke = colour.stroke_width(3);
            area.draw(&PathElement::new(vec![(x, 70), (x + 24, 70)], stroke))?;
            area.draw(&Circle::new((x + 12, 70), 4, colour.filled()))?;
            area.draw(&Text::new(system, (x + 30, 63), name.clone()))?;
            // Wide enough for the letters of any sans-serif font.
            x += 54 + 9 * i32::try_from(system.len())?;
        }
        Ok(())
    }

    fn draw_panel<X, Y>(
        &self,
        panel: &Panel,
        area: &Area<'_>,
        across: X,
        up: Y,
    ) -> Result<(), Box<dyn Error>>
    where
        X: AsRangedCoord<Value = f64>,
        Y: AsRangedCoord<Value = f64>,
        X::CoordDescType: ValueFormatter<f64>,
        Y::CoordDescType: ValueFormatter<f64>,
    {
        let mut chart = ChartBuilder::on(area)
            .margin(10)
            .x_label_area_size(44)
            .y_label_area_size(64)
            .caption(&panel.title, ("sans-serif", 15).into_font().color(&INK))
            .build_cartesian_2d(across, up)?;
        let label = ("sans-serif", 13).into_font().color(&INK);
        // Fine lines show that a scale is logarithmic.
        let (up, fine): (fn(f64) -> String, RGBAColor) = match self.up {
            Axis::Time => (time, FINE_GRID.to_rgba()),
            Axis::Bytes => (bytes, TRANSPARENT),
        };
        chart
            .configure_mesh()
            .x_desc(self.across)
            .x_labels(5)
            .y_labels(8)
            .x_label_formatter(&|count| short(*count))
            .y_label_formatter(&|value| up(*value))
            .label_style(label.clone())
            .axis_desc_style(label)
            .axis_style(INK)
            .bold_line_style(GRID)
            .light_line_style(fine)
            .draw()?;
        // The reference last, above the others.
        for line in panel.lines.iter().rev() {
            let colour = colour(&line.system);
            let points = || line.points.iter().copied();
            chart.draw_series(LineSeries::new(points(), colour.stroke_width(2)))?;
            chart.draw_series(points().map(|point| Circle::new(point, 4, colour.filled())))?;
        }
        Ok(())
    }
}

/// Nanoseconds in the unit that suits them.
fn time(nanoseconds: f64) -> String {
    match nanoseconds {
        ..1e3 => format!("{nanoseconds} ns"),
        1e3..1e6 => format!("{} µs", nanoseconds / 1e3),
        1e6..1e9 => format!("{} ms", nanoseconds / 1e6),
        _ => format!("{} s", nanoseconds / 1e9),
    }
}

fn bytes(bytes: f64) -> String {
    format!("{bytes} B")
}

/// A count as people say it.
fn short(count: f64) -> String {
    match count {
        ..1e3 => format!("{count}"),
        1e3..1e6 => format!("{}k", count / 1e3),
        _ => format!("{}M", count / 1e6),
    }
}
