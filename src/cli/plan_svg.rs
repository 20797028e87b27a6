//! The memory of a plan as a drawing: a rectangle a buffer, steps from left to right, the arena's bytes from bottom to top.
//!
//! It is one SVG file without scripts or outside parts; it follows the reader's choice of light or dark, and each
//! rectangle says its name, bytes and steps to whoever points at it (and to screen readers).

use std::fmt::Write;

use super::bytes;
use crate::ir::Graph;
use crate::plan::{Buffer, Placement, Plan};

const WIDTH: f64 = 1200.0;
const HEIGHT: f64 = 680.0;
/// Left, top, right and bottom of where the rectangles stand.
const FRAME: [f64; 4] = [92.0, 108.0, 1176.0, 576.0];
/// Smaller rectangles than this, in either direction, are left out of plans of more than [`MANY`] buffers.
const SPECK: f64 = 0.12;
const MANY: usize = 20_000;
/// The mean width of a character of the labels.
const CHARACTER: f64 = 6.1;

/// What a buffer is for, as far as colours tell: class, words of the legend.
const ROLES: [(&str, &str); 5] = [
    ("out", "outputs, images"),
    ("grad", "gradients of outputs"),
    ("kept", "places and statistics kept for the way back"),
    ("par", "gradients of parameters"),
    ("work", "workspace"),
];

fn role(buffer: &Buffer) -> usize {
    let name = buffer.name.to_string();
    let last = name.rsplit('.').find(|word| word.parse::<u32>().is_err());
    match (buffer.name.first_word(), last.unwrap_or_default()) {
        (_, "gradient") => 3,
        (_, "sums")
        | ("transposed" | "part_mean" | "part_square" | "part_bias" | "part_weight", _) => 4,
        ("d_dst" | "d_src" | "d_output" | "d_input", _) => 1,
        ("place" | "mean" | "scale", _) if buffer.name.owner().is_some() => 2,
        _ => 0,
    }
}

/// Text inside markup.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// A round number of bytes for the lines across, of which there are at most eight.
fn tick(arena: u64) -> u64 {
    let mut tick = 1u64 << 10;
    while arena / tick > 8 {
        tick = tick.saturating_mul(2);
    }
    tick
}

/// Where a step and an offset lie.
struct Scale {
    step: f64,
    byte: f64,
}

impl Scale {
    fn x(&self, step: usize) -> f64 {
        FRAME[0] + step as f64 * self.step
    }

    fn y(&self, offset: u64) -> f64 {
        FRAME[3] - offset as f64 * self.byte
    }
}

/// The drawing, an SVG document.
pub fn draw(plan: &Plan, graph: &Graph) -> String {
    let [left, top, right, bottom] = FRAME;
    let scale = Scale {
        step: (right - left) / plan.steps.len().max(1) as f64,
        byte: (bottom - top) / plan.arena_bytes.max(1) as f64,
    };
    let mut svg = String::new();
    head(&mut svg, plan);
    // Lines across, with their bytes.
    let tick = tick(plan.arena_bytes);
    for offset in (0..=plan.arena_bytes).step_by(tick as usize) {
        let y = scale.y(offset);
        let _ = writeln!(
            svg,
            r#"<line class="grid" x1="{left}" x2="{right}" y1="{y:.1}" y2="{y:.1}"/><text class="small" x="{:.1}" y="{:.1}" text-anchor="end">{}</text>"#,
            left - 8.0,
            y + 4.0,
            if offset == 0 {
                "0".to_owned()
            } else {
                bytes(offset)
            }
        );
    }
    let left_out = rectangles(&mut svg, plan, &scale);
    // Where the way back begins.
    if plan.forward_steps < plan.steps.len() {
        let x = scale.x(plan.forward_steps);
        let _ = writeln!(
            svg,
            r#"<line class="mark" x1="{x:.1}" x2="{x:.1}" y1="{:.1}" y2="{bottom}"/><text class="small" x="{:.1}" y="{:.1}" text-anchor="end">forward</text><text class="small" x="{:.1}" y="{:.1}">backward and update</text>"#,
            top - 8.0,
            x - 6.0,
            top - 2.0,
            x + 6.0,
            top - 2.0
        );
    }
    layers(&mut svg, plan, graph, &scale);
    let mut x = left;
    for (class, words) in ROLES {
        let _ = writeln!(
            svg,
            r#"<rect class="{class}" x="{x:.1}" y="{:.1}" width="14" height="14" rx="2"/><text class="small" x="{:.1}" y="{:.1}">{words}</text>"#,
            HEIGHT - 32.0,
            x + 20.0,
            HEIGHT - 20.0
        );
        x += 44.0 + CHARACTER * words.len() as f64;
    }
    if left_out > 0 {
        let _ = writeln!(
            svg,
            r#"<text class="small" x="{right}" y="{:.1}" text-anchor="end">{left_out} buffers are too small to see</text>"#,
            HEIGHT - 20.0
        );
    }
    svg.push_str("</svg>\n");
    svg
}

/// Title, figures, colours.
fn head(svg: &mut String, plan: &Plan) {
    let figures = plan.figures();
    let (peak, _) = plan.peak();
    let peak = plan
        .steps
        .get(peak)
        .map_or_else(String::new, |step| step.name.to_string());
    let title = format!(
        "{}: memory of {} at batch {}",
        plan.name,
        plan.mode.word(),
        plan.batch
    );
    let title = escaped(&title);
    let _ = write!(
        svg,
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}">
<title>{title}</title>
<style>
svg {{ font: 13px system-ui, sans-serif; }} .small {{ font-size: 12px; }} .title {{ font-size: 20px; font-weight: 600; }}
.name {{ fill: #10131a; font-size: 11px; pointer-events: none; }} .mark {{ stroke-dasharray: 4 4; }} .box rect {{ stroke-width: 0.6; }}
.paper {{ fill: #ffffff; }} .box rect {{ stroke: #ffffff; }} .title {{ fill: #1d2433; }} .small {{ fill: #6b7385; }} .grid {{ stroke: #e3e6ec; }} .mark {{ stroke: #6b7385; }}
.out {{ fill: #6f9bd1; }} .grad {{ fill: #f0807f; }} .kept {{ fill: #e6c646; }} .par {{ fill: #74bf6b; }} .work {{ fill: #c795ba; }}
@media (prefers-color-scheme: dark) {{ .paper {{ fill: #14171f; }} .box rect {{ stroke: #14171f; }} .title {{ fill: #e8eaf0; }} .small {{ fill: #9aa3b5; }} .grid {{ stroke: #2a3040; }} .mark {{ stroke: #9aa3b5; }} }}
</style>
<rect class="paper" width="{WIDTH}" height="{HEIGHT}"/>
<text class="title" x="{}" y="38">{title}</text>
<text class="small" x="{}" y="60">arena {}, {:.3} times its lower bound and {:.2} times all tensors apart; most is alive in {}</text>
<text class="small" x="{}" y="78">outside the arena: parameters {}, optimizer state {}</text>
"#,
        FRAME[0],
        FRAME[0],
        bytes(figures.arena),
        figures.arena as f64 / figures.lower_bound.max(1) as f64,
        figures.arena as f64 / figures.tensors.max(1) as f64,
        escaped(&peak),
        FRAME[0],
        bytes(figures.parameters),
        bytes(figures.optimizer),
    );
}

/// The buffers of the arena; returns how many are too small to see.
fn rectangles(svg: &mut String, plan: &Plan, scale: &Scale) -> usize {
    let many = plan.buffers.len() > MANY;
    let mut left_out = 0;
    for buffer in &plan.buffers {
        let Placement::Arena { offset } = buffer.placement else {
            continue;
        };
        if buffer.lifetime.is_empty() {
            continue;
        }
        let (x, y) = (
            scale.x(buffer.lifetime.start),
            scale.y(offset + buffer.bytes),
        );
        let width = buffer.lifetime.len() as f64 * scale.step;
        let height = buffer.bytes as f64 * scale.byte;
        if many && (width < SPECK || height < SPECK) {
            left_out += 1;
            continue;
        }
        let name = escaped(&buffer.name.to_string());
        let (class, _) = ROLES[role(buffer)];
        let first = &plan.steps[buffer.lifetime.start].name;
        let last = &plan.steps[buffer.lifetime.end - 1].name;
        let _ = write!(
            svg,
            r#"<g class="box"><title>{name}: {}, from {} to {}</title><rect class="{class}" x="{x:.2}" y="{y:.2}" width="{width:.2}" height="{height:.2}"/>"#,
            bytes(buffer.bytes),
            escaped(&first.to_string()),
            escaped(&last.to_string()),
        );
        if height >= 12.0 && width >= CHARACTER * name.len() as f64 + 6.0 {
            let _ = write!(
                svg,
                r#"<text class="name" x="{:.2}" y="{:.2}">{name}</text>"#,
                x + 4.0,
                y + height / 2.0 + 4.0
            );
        }
        svg.push_str("</g>\n");
    }
    left_out
}

/// The layers below the steps, where there is room.
fn layers(svg: &mut String, plan: &Plan, graph: &Graph, scale: &Scale) {
    let mut free = FRAME[0];
    let mut before = None;
    for (at, step) in plan.steps.iter().enumerate() {
        if step.layer == before {
            continue;
        }
        before = step.layer;
        let Some(layer) = step.layer else { continue };
        let x = scale.x(at);
        if x < free {
            continue;
        }
        let name = escaped(&graph.nodes[layer].name);
        let _ = writeln!(
            svg,
            r#"<line class="grid" x1="{x:.1}" x2="{x:.1}" y1="{}" y2="{}"/><text class="small" x="{x:.1}" y="{}">{name}</text>"#,
            FRAME[3],
            FRAME[3] + 6.0,
            FRAME[3] + 22.0
        );
        free = x + CHARACTER * name.len() as f64 + 10.0;
    }
    let _ = writeln!(
        svg,
        r#"<text class="small" x="{}" y="{}">{} steps, by layer</text>"#,
        FRAME[0],
        FRAME[3] + 44.0,
        plan.steps.len()
    );
}
