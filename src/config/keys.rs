//! The table of all keys: path, kind, range, meaning, what is implemented.
//!
//! Owns: [`KEYS`], the one place that knows which keys there are. Reading, writing, errors, `netc schema` and README's
//! table go by it. Defaults stand in [`Config::default`](super::Config); [`Key::default`] looks them up.

use std::fmt;

use super::Config;
use super::value::{Setting, Value};
use super::words::{
    Best, Broken, Cache, MeanOf, OptimizerKind, Precision, Scale, ScheduleKind, Weights,
};

/// One key of the TOML.
pub struct Key {
    /// Dotted path, `train.checkpoint.every`.
    pub path: &'static str,
    /// What it may hold.
    pub kind: Kind,
    /// What it means, in a line.
    pub doc: &'static str,
    /// How much of it this version implements.
    pub ready: Ready,
    /// Another setting that it belongs to.
    pub only_if: Option<Rule>,
    read: fn(&mut Config, &Value) -> bool,
    write: fn(&Config) -> Value,
}

/// What a key may hold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Any string but the empty one.
    Text,
    /// A bundled set's name or a path.
    DataPath,
    /// `true` or `false`.
    Flag,
    /// A whole number.
    Whole(Range<i64>),
    /// A whole number or a word.
    WholeOr(Range<i64>, &'static [&'static str]),
    /// A finite number.
    Number(Range<f64>),
    /// One of these words.
    Words(&'static [&'static str]),
    /// A string of a form of its own.
    Form(Form),
}

/// The form of a string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    /// For people, after "is" or "write".
    pub description: &'static str,
    /// The words among its values.
    pub words: &'static [&'static str],
    /// The other values, as a regular expression.
    pub pattern: &'static str,
}

/// The range of a number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range<T> {
    /// Lower end.
    pub least: T,
    /// Whether the lower end itself is refused.
    pub above: bool,
    /// Upper end.
    pub most: T,
    /// Whether the upper end itself is refused.
    pub below: bool,
}

impl<T: PartialOrd + Copy> Range<T> {
    const fn closed(least: T, most: T) -> Self {
        Self {
            least,
            above: false,
            most,
            below: false,
        }
    }

    const fn half_open(least: T, most: T) -> Self {
        Self {
            least,
            above: false,
            most,
            below: true,
        }
    }

    const fn positive(least: T, most: T) -> Self {
        Self {
            least,
            above: true,
            most,
            below: false,
        }
    }

    /// Whether a number lies in the range; NaN does not.
    pub fn contains(&self, number: T) -> bool {
        let from = if self.above {
            number > self.least
        } else {
            number >= self.least
        };
        from && if self.below {
            number < self.most
        } else {
            number <= self.most
        }
    }
}

/// `from 1 to 2147483647`, `at least 0 and below 1`.
impl<T: fmt::Display> fmt::Display for Range<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.above && !self.below {
            return write!(f, "from {} to {}", self.least, self.most);
        }
        let from = if self.above { "above" } else { "at least" };
        let to = if self.below { "below" } else { "at most" };
        write!(f, "{from} {} and {to} {}", self.least, self.most)
    }
}

/// How much of a key this version's trainer implements. A value equal to the default is always fine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ready {
    /// All of it.
    Yes,
    /// The default only.
    No,
    /// Numbers, and of the words these.
    Words(&'static [&'static str]),
}

/// A setting that a key belongs to: given without it, the two contradict each other (E0405).
#[derive(Clone, Copy)]
pub struct Rule {
    /// The key that decides.
    pub key: &'static str,
    /// Whether the key means anything.
    pub holds: fn(&Config) -> bool,
    /// The words of that key that would do.
    pub words: &'static [&'static str],
    /// Whether even a value equal to the default is refused.
    pub strict: bool,
}

impl Rule {
    /// The lines that would do: `kind = "step"`.
    pub fn lines(&self) -> Vec<String> {
        let name = self.key.rsplit('.').next().unwrap_or(self.key);
        let line = |word: &&str| format!("{name} = \"{word}\"");
        self.words.iter().map(line).collect()
    }
}

impl Key {
    /// The key of a dotted path.
    pub fn find(path: &str) -> Option<&'static Self> {
        KEYS.iter().find(|key| key.path == path)
    }

    /// The table and the path within it: `train` and `checkpoint.every`.
    pub fn split(&self) -> (&'static str, &'static str) {
        self.path.split_once('.').unwrap_or(("", self.path))
    }

    /// The last part of the path, as it stands in a line of the TOML.
    pub fn name(&self) -> &'static str {
        self.path.rsplit('.').next().unwrap_or(self.path)
    }

    /// The setting's value in a configuration.
    pub fn value(&self, config: &Config) -> Value {
        (self.write)(config)
    }

    /// The default.
    pub fn default(&self) -> Value {
        self.value(&Config::default())
    }

    /// Puts a value into a configuration; `false` where it is not of the key's form.
    pub(super) fn assign(&self, config: &mut Config, value: &Value) -> bool {
        (self.read)(config, value)
    }

    /// Whether this version implements a value other than the default.
    pub fn is_implemented(&self, value: &Value) -> bool {
        match (self.ready, value) {
            (Ready::No, _) => false,
            (Ready::Words(words), Value::Text(word)) => words.contains(&word.as_str()),
            (Ready::Yes | Ready::Words(_), _) => true,
        }
    }
}

const STEP_ONLY: Rule = Rule {
    key: "optimizer.schedule.kind",
    holds: |config| config.optimizer.schedule.kind == ScheduleKind::Step,
    words: &["step"],
    strict: true,
};
const STEP_OR_PLATEAU: Rule = Rule {
    holds: |config| {
        matches!(
            config.optimizer.schedule.kind,
            ScheduleKind::Step | ScheduleKind::Plateau
        )
    },
    words: &["step", "plateau"],
    ..STEP_ONLY
};
const PLATEAU_ONLY: Rule = Rule {
    holds: |config| config.optimizer.schedule.kind == ScheduleKind::Plateau,
    words: &["plateau"],
    ..STEP_ONLY
};
// LANGUAGE.md's own example gives `beta1` beside sgd and `std` beside he, so these are refused only where a value other
// than the default would be silently without effect.
const SGD_ONLY: Rule = Rule {
    key: "optimizer.kind",
    holds: |config| {
        matches!(
            config.optimizer.kind,
            OptimizerKind::Sgd | OptimizerKind::Nesterov
        )
    },
    words: &["sgd", "nesterov"],
    strict: false,
};
const ADAM_ONLY: Rule = Rule {
    holds: |config| {
        matches!(
            config.optimizer.kind,
            OptimizerKind::Adam | OptimizerKind::AdamW
        )
    },
    words: &["adam", "adamw"],
    ..SGD_ONLY
};
const GAUSSIAN_ONLY: Rule = Rule {
    key: "init.weights",
    holds: |config| config.init.weights == Weights::Gaussian,
    words: &["gaussian"],
    strict: false,
};

/// Whole numbers go to 2^31 - 1, as in network files.
const COUNT: Range<i64> = Range::closed(1, (1 << 31) - 1);
const COUNT_OR_ZERO: Range<i64> = Range::closed(0, (1 << 31) - 1);
const PIXELS: Range<i64> = Range::closed(0, 65_536);
/// Beyond a million no rate, decay or deviation trains anything, and products stay finite in f32.
const RATE: Range<f64> = Range::closed(0.0, 1e6);
const SHARE: Range<f64> = Range::half_open(0.0, 1.0);
const POSITIVE: Range<f64> = Range::positive(0.0, 1e6);

const EVERY: Form = Form {
    description: "\"N steps\", \"N epochs\", \"N s\", \"N min\" or \"N h\"",
    words: &[],
    pattern: "^\\s*0*[1-9][0-9]{0,9}\\s*(steps?|epochs?|s|min|h)\\s*$",
};
const MEMORY: Form = Form {
    description: "\"none\", or bytes such as \"2 GiB\" or \"500 MB\"",
    words: &["none"],
    pattern: "^\\s*0*[1-9][0-9]*\\s*(GiB|MiB|KiB|GB|MB|kB|B)\\s*$",
};
const SELECT: Form = Form {
    description: "\"auto\", \"host\", \"gpu\", \"cpu\" or platform:device such as \"0:1\"",
    words: &["auto", "host", "gpu", "cpu"],
    pattern: ":",
};

macro_rules! keys {
    ($($first:ident $(. $rest:ident)*: $kind:expr, $ready:expr, $rule:expr, $doc:literal;)*) => {
        /// Every key, table by table, in the order of LANGUAGE.md.
        pub const KEYS: &[Key] = &[$(Key {
            path: concat!(stringify!($first) $(, ".", stringify!($rest))*),
            kind: $kind,
            doc: $doc,
            ready: $ready,
            only_if: $rule,
            read: |config, value| match Setting::read(value) {
                Some(setting) => {
                    config.$first $(.$rest)* = setting;
                    true
                }
                None => false,
            },
            write: |config| config.$first $(.$rest)*.write(),
        },)*];
    };
}

keys! {
    data.train: Kind::DataPath, Ready::Yes, None, "training images: a bundled set's name, or a path (folder of class folders, IDX pair, CIFAR-10/100 binary)";
    data.test: Kind::DataPath, Ready::Yes, None, "test images, likewise";
    data.validation: Kind::Number(SHARE), Ready::Yes, None, "share of the training images held back, evenly over the classes";
    data.scale: Kind::Words(Scale::WORDS), Ready::Yes, None, "\"unit\": pixels divided by 255; \"none\": 0 to 255";
    data.mean: Kind::Words(MeanOf::WORDS), Ready::Yes, None, "subtracted from the pixels: the mean image, one value a channel, or nothing";
    data.balance: Kind::Flag, Ready::Yes, None, "every mini-batch drawn evenly over the classes";
    data.resize: Kind::Whole(PIXELS), Ready::Yes, None, "shorter side of the pictures of class folders, 0: fitted to the network's input";
    data.crop: Kind::Whole(PIXELS), Ready::Yes, None, "side of the square cut out of the images, at random in training, from the centre in testing; 0: pictures to the network's input, always from the centre, other images whole";
    data.augment.flip: Kind::Flag, Ready::Yes, None, "half of the training images mirrored left to right";
    data.augment.shift: Kind::Whole(PIXELS), Ready::Yes, None, "training images shifted by up to so many pixels";
    data.augment.brightness: Kind::Number(Range::closed(0.0, 1.0)), Ready::Yes, None, "brightness of training images changed by up to this share";
    data.cache: Kind::Words(Cache::WORDS), Ready::Yes, None, "decoded images kept in memory where they fit, or never";
    data.workers: Kind::Whole(Range::closed(0, 1024)), Ready::Yes, None, "decoding threads, 0: as many as there are cores";
    data.broken: Kind::Words(Broken::WORDS), Ready::Yes, None, "an image that cannot be read stops the command, or is skipped and listed";

    train.batch: Kind::WholeOr(COUNT, &["auto"]), Ready::Yes, None, "images of a mini-batch, or \"auto\": the most that fit";
    train.epochs: Kind::Whole(COUNT), Ready::Yes, None, "epochs, each of floor(images / batch) mini-batches";
    train.seed: Kind::Whole(Range::closed(0, i64::MAX)), Ready::Yes, None, "from which everything random follows";
    train.accumulate: Kind::Whole(COUNT), Ready::Yes, None, "mini-batches summed before a step";
    train.clip: Kind::Number(RATE), Ready::Yes, None, "largest gradient norm, 0: no limit";
    train.smoothing: Kind::Number(SHARE), Ready::Yes, None, "smoothing of the labels";
    train.stop_after: Kind::Whole(COUNT_OR_ZERO), Ready::Yes, None, "epochs without a better test loss after which training ends, 0: never";
    train.best: Kind::Words(Best::WORDS), Ready::Yes, None, "what makes checkpoints/best the best";
    train.checkpoint.every: Kind::Form(EVERY), Ready::Yes, None, "how often a checkpoint is written";
    train.checkpoint.keep: Kind::Whole(COUNT_OR_ZERO), Ready::Yes, None, "numbered checkpoints kept beside last and best";
    train.memory_limit: Kind::Form(MEMORY), Ready::Yes, None, "device memory that training may take; where it takes more, outputs are computed again instead of kept";

    optimizer.kind: Kind::Words(OptimizerKind::WORDS), Ready::Yes, None, "the method";
    optimizer.learning_rate: Kind::Number(RATE), Ready::Yes, None, "learning rate";
    optimizer.momentum: Kind::Number(SHARE), Ready::Yes, Some(SGD_ONLY), "momentum (sgd, nesterov)";
    optimizer.beta1: Kind::Number(SHARE), Ready::Yes, Some(ADAM_ONLY), "decay of the first moment (adam, adamw)";
    optimizer.beta2: Kind::Number(SHARE), Ready::Yes, Some(ADAM_ONLY), "decay of the second moment (adam, adamw)";
    optimizer.epsilon: Kind::Number(Range::positive(0.0, 1.0)), Ready::Yes, Some(ADAM_ONLY), "added to the denominator (adam, adamw)";
    optimizer.weight_decay: Kind::Number(RATE), Ready::Yes, None, "weight decay: v = momentum*v - lr*weight_decay*w - lr*gradient; w = w + v";
    optimizer.decay_biases: Kind::Flag, Ready::Yes, None, "biases decay too";
    optimizer.schedule.kind: Kind::Words(ScheduleKind::WORDS), Ready::Yes, None, "how the learning rate changes";
    optimizer.schedule.every: Kind::Whole(COUNT), Ready::Yes, Some(STEP_ONLY), "epochs between two steps (step)";
    optimizer.schedule.factor: Kind::Number(POSITIVE), Ready::Yes, Some(STEP_OR_PLATEAU), "what the rate is multiplied by (step, plateau)";
    optimizer.schedule.patience: Kind::Whole(COUNT_OR_ZERO), Ready::Yes, Some(PLATEAU_ONLY), "epochs without a better test loss before the rate falls (plateau)";
    optimizer.schedule.warmup: Kind::Whole(COUNT_OR_ZERO), Ready::Yes, None, "epochs over which the rate rises from 0";

    init.weights: Kind::Words(Weights::WORDS), Ready::Yes, None, "how initial weights are drawn";
    init.std: Kind::Number(POSITIVE), Ready::Yes, Some(GAUSSIAN_ONLY), "standard deviation (gaussian)";
    init.bias: Kind::Number(Range::closed(-1e6, 1e6)), Ready::Yes, None, "initial biases";

    regularization.dropout: Kind::Number(SHARE), Ready::Yes, None, "dropout of hidden F layers that do not say otherwise";

    device.select: Kind::Form(SELECT), Ready::Yes, None, "what computes: the best OpenCL device or the host engine, by word or number";
    device.precision: Kind::Words(Precision::WORDS), Ready::Words(&["f32", "f64"]), None, "what the numbers are";
    device.winograd: Kind::Flag, Ready::Yes, None, "convolutions may go through Winograd's transform (faster, larger rounding errors)";

    output.dir: Kind::Text, Ready::Yes, None, "the run folder; {net}: the network's name, {n}: the next free number";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_lies_in_its_range_and_reads_back() {
        for key in KEYS {
            let default = key.default();
            let fits = match (key.kind, &default) {
                (Kind::Whole(range) | Kind::WholeOr(range, _), Value::Whole(number)) => {
                    range.contains(*number)
                }
                (Kind::Number(range), Value::Number(number)) => range.contains(*number),
                (Kind::Words(words), Value::Text(word)) => words.contains(&word.as_str()),
                (Kind::Text | Kind::DataPath | Kind::Form(_), Value::Text(_))
                | (Kind::Flag, Value::Flag(_)) => true,
                _ => false,
            };
            assert!(fits, "{}: {default}", key.path);
            let mut config = Config::default();
            assert!(key.assign(&mut config, &default), "{}", key.path);
            assert_eq!(key.value(&config), default, "{}", key.path);
        }
    }

    #[test]
    fn keys_of_a_table_stand_together_and_are_few() {
        let mut seen: Vec<&str> = Vec::new();
        for key in KEYS {
            let prefix = key.path.rsplit_once('.').map_or("", |(prefix, _)| prefix);
            if seen.last() != Some(&prefix) {
                let again = seen.contains(&prefix) && prefix.contains('.');
                assert!(!again, "{} stands apart from its inline table", key.path);
                seen.push(prefix);
            }
            assert!(key.path.split('.').count() <= 3);
        }
        assert!(Key::find("train.checkpoint.every").is_some());
        assert!(Key::find("train.checkpoint").is_none());
    }
}
