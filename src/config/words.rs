//! Settings whose value is one of a few words.
//!
//! Owns: one enumeration a setting, with its words, once. Knows nothing of keys or spans.

use std::fmt;
use std::str::FromStr;

use super::value::{Malformed, Setting, Value, text_setting};

/// An enumeration with a word for each of its values.
macro_rules! words {
    ($($(#[$doc:meta])* $name:ident { $($(#[$word_doc:meta])* $variant:ident = $word:literal,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$word_doc])* $variant,)* }

        impl $name {
            /// The words, as they are written.
            pub const WORDS: &'static [&'static str] = &[$($word,)*];
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$variant => $word,)* })
            }
        }

        impl FromStr for $name {
            type Err = Malformed;

            fn from_str(text: &str) -> Result<Self, Malformed> {
                match text { $($word => Ok(Self::$variant),)* _ => Err(Malformed) }
            }
        }

        text_setting!($name);
    )*};
}

words! {
    /// `data.scale`: what becomes of the 8-bit pixels.
    Scale {
        /// Divided by 255, so from 0 to 1.
        Unit = "unit",
        /// Left as they are, from 0 to 255.
        None = "none",
    }

    /// `data.mean`: what is subtracted from the pixels.
    MeanOf {
        /// The mean image of the training set: one value a channel, row and column.
        Pixel = "pixel",
        /// One value a channel.
        Channel = "channel",
        /// Nothing.
        None = "none",
    }

    /// `data.cache`: whether decoded images stay in memory.
    Cache {
        /// Where they fit.
        Auto = "auto",
        /// Never.
        Never = "never",
    }

    /// `data.broken`: what an image that cannot be read does.
    Broken {
        /// It stops the command (E0502).
        Stop = "stop",
        /// It is left out, counted and listed.
        Skip = "skip",
    }

    /// `train.best`: what makes a checkpoint the best one.
    Best {
        /// The highest test accuracy.
        Accuracy = "accuracy",
        /// The lowest test loss.
        Loss = "loss",
    }

    /// `optimizer.kind`.
    OptimizerKind {
        /// Stochastic gradient descent with momentum, in AlexNet's form (Krizhevsky 2012, section 5).
        Sgd = "sgd",
        /// Nesterov's accelerated gradient.
        Nesterov = "nesterov",
        /// Adam (Kingma 2015).
        Adam = "adam",
        /// Adam with decoupled weight decay (Loshchilov 2019).
        AdamW = "adamw",
    }

    /// `optimizer.schedule.kind`: how the learning rate changes.
    ScheduleKind {
        /// It does not.
        Constant = "constant",
        /// Times `factor` after every `every` epochs.
        Step = "step",
        /// Half a cosine from the full rate down to 0 over the whole training.
        Cosine = "cosine",
        /// Times `factor` after `patience` epochs without a better test loss.
        Plateau = "plateau",
    }

    /// `init.weights`: how initial weights are drawn.
    Weights {
        /// Normal, deviation sqrt(2 / fan_in) (He 2015, eq. 10).
        He = "he",
        /// Normal, deviation `init.std` (Krizhevsky 2012, section 5).
        Gaussian = "gaussian",
        /// Normal, deviation sqrt(2 / (fan_in + fan_out)) (Glorot 2010, eq. 12).
        Xavier = "xavier",
    }

    /// `device.precision`: what the numbers are.
    Precision {
        /// IEEE binary32.
        F32 = "f32",
        /// IEEE binary64.
        F64 = "f64",
        /// Products in TensorFloat-32, where the device has it.
        Tf32 = "tf32",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_read_back() {
        for word in OptimizerKind::WORDS {
            assert_eq!(word.parse::<OptimizerKind>().unwrap().to_string(), *word);
        }
        assert_eq!(Scale::read(&Value::Text("unit".into())), Some(Scale::Unit));
        assert_eq!(Scale::read(&Value::Text("Unit".into())), None);
        assert_eq!(Scale::read(&Value::Flag(true)), None);
    }
}
