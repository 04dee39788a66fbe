//! Refusals, however they are wrapped.

use super::{Decoder, push_bounded};
use crate::DecodeError;
use crate::message::{Fault, ParameterFault};

impl Decoder<'_> {
    /// SOAP's Fault with CWMP's Fault in its detail, or either alone.
    pub(super) fn fault(&mut self) -> Result<Fault, DecodeError> {
        let mut fault = Fault::default();
        let mut soap_text = Box::default();
        self.fault_fields(&mut fault, &mut soap_text)?;
        if fault.text.is_empty() && *soap_text != *Fault::SOAP_TEXT {
            fault.text = soap_text;
        }
        Ok(fault)
    }

    fn fault_fields(
        &mut self,
        fault: &mut Fault,
        soap_text: &mut Box<str>,
    ) -> Result<(), DecodeError> {
        // The reader's bound on depth is the bound of this recursion.
        self.fields(|this, field| this.fault_field(field, fault, soap_text))
    }

    fn fault_field(
        &mut self,
        field: &str,
        fault: &mut Fault,
        soap_text: &mut Box<str>,
    ) -> Result<(), DecodeError> {
        match field {
            "detail" | "Detail" | "Fault" => self.fault_fields(fault, soap_text),
            "faultstring" => {
                // netcwmp has the detail inside of it.
                let (text, child) = self.reader.text_before_child()?;
                *soap_text = text.trim().into();
                let Some(child) = child else { return Ok(()) };
                self.fault_field(child.name(), fault, soap_text)?;
                self.fault_fields(fault, soap_text)
            }
            "FaultCode" => self.code(&mut fault.code),
            "FaultString" => self.boxed(&mut fault.text),
            "SetParameterValuesFault" => {
                let bound = self.options.parameters_max;
                let one = self.parameter_fault()?;
                push_bounded(&mut fault.parameters, one, bound)
            }
            _ => self.reader.skip(),
        }
    }

    /// A SetParameterValuesFault; `None` for one that says that there is none: netcwmp lists every
    /// parameter, those in order with the code 0.
    fn parameter_fault(&mut self) -> Result<Option<ParameterFault>, DecodeError> {
        let mut fault = ParameterFault { name: Box::default(), code: 0, text: Box::default() };
        let mut is_none = false;
        self.fields(|this, field| match field {
            "ParameterName" => this.boxed(&mut fault.name),
            "FaultCode" => {
                this.code(&mut fault.code)?;
                is_none = fault.code == 0;
                Ok(())
            }
            "FaultString" => this.boxed(&mut fault.text),
            _ => this.reader.skip(),
        })?;
        Ok((!is_none).then_some(fault))
    }
}
