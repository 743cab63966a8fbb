//! Weights of the evidence: logistic regression over the words of recorded interfaces.
//!
//! They hold no word of any interface. In the order of [`super::evidence::features`]. Fitted with a
//! ridge penalty; when the interfaces judged are kept out of the fit, the shares of endpoints found
//! exactly stay within 5 points.

use super::evidence::FEATURES;

/// First round: all siblings count alike.
pub(super) const AMONG_ALL: [f32; FEATURES] = [
    -0.708, // bias
    0.649,  // oddness
    0.168,  // letter case
    -2.341, // familiarity
    -2.131, // plural
    0.085,  // shape
    0.645,  // cover
    0.492,  // shape below
    0.097,  // crowd of leaves
    0.610,  // crowd of branches
    -0.403, // calls
    0.061,  // calls above mean
    0.871,  // rarity
    -0.206, // exact types
    2.913,  // loose types
    -0.836, // first
    -1.191, // after a value
    0.290,  // after a plural
    -0.024, // typed calls
    0.662,  // crowd's oddness
    -5.081, // crowd's familiarity
    -4.853, // crowd's plurals
    1.230,  // crowd's fame
    -0.260, // fame
    1.303,  // mix of letter cases
    2.269,  // ways a call
    -0.350, // leaves in the crowd
    0.115,  // crowd's oddness by size
    -0.452, // crowd at the first place
    0.469,  // same letter case
];

/// Later rounds: siblings count by the belief that they are values.
pub(super) const AMONG_VALUES: [f32; FEATURES] = [
    -1.424,  // bias
    0.798,   // oddness
    0.189,   // letter case
    -2.787,  // familiarity
    -2.534,  // plural
    0.037,   // shape
    0.923,   // cover
    0.715,   // shape below
    0.283,   // crowd of leaves
    0.901,   // crowd of branches
    -0.395,  // calls
    -0.268,  // calls above mean
    1.147,   // rarity
    0.123,   // exact types
    3.583,   // loose types
    -1.999,  // first
    -1.599,  // after a value
    0.400,   // after a plural
    -0.079,  // typed calls
    0.619,   // crowd's oddness
    -11.665, // crowd's familiarity
    -12.144, // crowd's plurals
    2.006,   // crowd's fame
    -0.202,  // fame
    1.679,   // mix of letter cases
    2.929,   // ways a call
    -0.598,  // leaves in the crowd
    0.101,   // crowd's oddness by size
    -1.204,  // crowd at the first place
    0.933,   // same letter case
];
