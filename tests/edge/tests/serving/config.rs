//! Distribution configs as XML, from the few parts that a test is about.

pub const CACHING_DISABLED: &str = "4135ea2d-6df8-44a3-9df3-4b5a84be39ad";
pub const CACHING_OPTIMIZED: &str = "658327ea-f89d-4fab-a63d-7e88639e58f6";
pub const ALL_VIEWER_EXCEPT_HOST: &str = "b689b0a8-53d0-40ab-baf2-68738e2966ac";

/// A list with its quantity, as CloudFront has them.
pub fn list(items: &[String]) -> String {
    format!(
        "<Quantity>{}</Quantity><Items>{}</Items>",
        items.len(),
        items.concat()
    )
}

fn tagged<T: ToString>(tag: &str, values: &[T]) -> String {
    let items: Vec<String> = values
        .iter()
        .map(|value| format!("<{tag}>{}</{tag}>", value.to_string()))
        .collect();
    list(&items)
}

/// A server of a test's, by the name `<id>.origin.test`: one attempt, a second each for connection and answer.
pub fn server(id: &str) -> String {
    server_with(id, "")
}

/// The same with elements of the origin's own.
pub fn server_with(id: &str, extra: &str) -> String {
    let attempts = if extra.contains("ConnectionAttempts") {
        ""
    } else {
        "<ConnectionAttempts>1</ConnectionAttempts>"
    };
    format!(
        "<Origin><Id>{id}</Id><DomainName>{id}.origin.test</DomainName>{attempts}\
         <ConnectionTimeout>1</ConnectionTimeout><CustomOriginConfig><HTTPPort>80</HTTPPort><HTTPSPort>443</HTTPSPort>\
         <OriginProtocolPolicy>https-only</OriginProtocolPolicy><OriginReadTimeout>1</OriginReadTimeout>\
         </CustomOriginConfig>{extra}</Origin>"
    )
}

/// A function URL with an access control.
pub fn function_url(id: &str, host: &str, access_control: &str) -> String {
    format!(
        "<Origin><Id>{id}</Id><DomainName>{host}</DomainName><CustomOriginConfig><HTTPPort>80</HTTPPort>\
         <HTTPSPort>443</HTTPSPort><OriginProtocolPolicy>https-only</OriginProtocolPolicy></CustomOriginConfig>\
         <OriginAccessControlId>{access_control}</OriginAccessControlId></Origin>"
    )
}

/// A bucket with an access control or an access identity (the other one empty).
pub fn bucket(id: &str, bucket: &str, access_control: &str, identity: &str) -> String {
    let identity = match identity {
        "" => String::new(),
        identity => format!("origin-access-identity/cloudfront/{identity}"),
    };
    format!(
        "<Origin><Id>{id}</Id><DomainName>{bucket}.s3.us-east-1.amazonaws.com</DomainName>\
         <S3OriginConfig><OriginAccessIdentity>{identity}</OriginAccessIdentity></S3OriginConfig>\
         <OriginAccessControlId>{access_control}</OriginAccessControlId></Origin>"
    )
}

/// An origin group.
pub fn group(id: &str, members: [&str; 2], statuses: &[u16]) -> String {
    let members = members
        .map(|id| format!("<OriginGroupMember><OriginId>{id}</OriginId></OriginGroupMember>"));
    format!(
        "<OriginGroup><Id>{id}</Id><FailoverCriteria><StatusCodes>{}</StatusCodes></FailoverCriteria>\
         <Members>{}</Members></OriginGroup>",
        tagged("StatusCode", statuses),
        list(&members),
    )
}

/// A cache behaviour.
#[derive(Clone)]
pub struct Behavior {
    pub pattern: &'static str,
    pub target: String,
    pub protocol: &'static str,
    pub methods: &'static [&'static str],
    pub cache_policy: String,
    pub origin_request_policy: String,
    pub function: String,
}

impl Behavior {
    /// Every method, HTTP or HTTPS, nothing cached.
    pub fn to(target: &str) -> Self {
        Self {
            pattern: "",
            target: target.to_owned(),
            protocol: "allow-all",
            methods: &["GET", "HEAD", "OPTIONS", "PUT", "PATCH", "POST", "DELETE"],
            cache_policy: CACHING_DISABLED.to_owned(),
            origin_request_policy: ALL_VIEWER_EXCEPT_HOST.to_owned(),
            function: String::new(),
        }
    }

    pub fn at(self, pattern: &'static str) -> Self {
        Self { pattern, ..self }
    }

    pub fn cached_by(self, policy: &str) -> Self {
        Self {
            cache_policy: policy.to_owned(),
            origin_request_policy: String::new(),
            ..self
        }
    }

    pub fn running(self, function: &str) -> Self {
        Self {
            function: function.to_owned(),
            ..self
        }
    }

    fn xml(&self, tag: &str) -> String {
        let pattern = match self.pattern {
            "" => String::new(),
            pattern => format!("<PathPattern>{pattern}</PathPattern>"),
        };
        let function = match self.function.as_str() {
            "" => list(&[]),
            arn => list(&[format!(
                "<FunctionAssociation><FunctionARN>{arn}</FunctionARN><EventType>viewer-request</EventType></FunctionAssociation>"
            )]),
        };
        let more = match self.origin_request_policy.as_str() {
            "" => String::new(),
            id => format!("<OriginRequestPolicyId>{id}</OriginRequestPolicyId>"),
        };
        format!(
            "<{tag}>{pattern}<TargetOriginId>{}</TargetOriginId><ViewerProtocolPolicy>{}</ViewerProtocolPolicy>\
             <AllowedMethods>{}</AllowedMethods><FunctionAssociations>{function}</FunctionAssociations>\
             <CachePolicyId>{}</CachePolicyId>{more}</{tag}>",
            self.target,
            self.protocol,
            tagged("Method", self.methods),
            self.cache_policy,
        )
    }
}

/// A distribution's config.
#[derive(Clone)]
pub struct Config {
    pub origins: Vec<String>,
    pub groups: Vec<String>,
    pub behaviors: Vec<Behavior>,
    pub default: Behavior,
    pub aliases: Vec<String>,
    pub error_ttls: Vec<(u16, u64)>,
    pub enabled: bool,
    pub reference: String,
}

impl Config {
    /// One default behaviour.
    pub fn of(origins: &[String], default: Behavior) -> Self {
        Self {
            origins: origins.to_vec(),
            groups: Vec::new(),
            behaviors: Vec::new(),
            default,
            aliases: Vec::new(),
            error_ttls: Vec::new(),
            enabled: true,
            reference: "edge".to_owned(),
        }
    }

    pub fn xml(&self) -> String {
        let behaviors: Vec<String> = self
            .behaviors
            .iter()
            .map(|one| one.xml("CacheBehavior"))
            .collect();
        let errors: Vec<String> = self
            .error_ttls
            .iter()
            .map(|(code, ttl)| {
                format!("<CustomErrorResponse><ErrorCode>{code}</ErrorCode><ErrorCachingMinTTL>{ttl}</ErrorCachingMinTTL></CustomErrorResponse>")
            })
            .collect();
        format!(
            "<DistributionConfig xmlns=\"http://cloudfront.amazonaws.com/doc/2020-05-31/\">\
             <CallerReference>{}</CallerReference><Aliases>{}</Aliases><Origins>{}</Origins>\
             <OriginGroups>{}</OriginGroups>{}<CacheBehaviors>{}</CacheBehaviors>\
             <CustomErrorResponses>{}</CustomErrorResponses><Comment>edge</Comment><Enabled>{}</Enabled></DistributionConfig>",
            self.reference,
            tagged("CNAME", &self.aliases),
            list(&self.origins),
            list(&self.groups),
            self.default.xml("DefaultCacheBehavior"),
            list(&behaviors),
            list(&errors),
            self.enabled,
        )
    }
}
